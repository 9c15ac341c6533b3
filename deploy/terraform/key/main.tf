# The KMS key of one role. The key administrator of that role's account applies this, once per role, and never the operator.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
}

resource "aws_kms_key" "role" {
  description              = "Strongroom, KEKs of the ${var.role} role"
  key_usage                = "ENCRYPT_DECRYPT"
  customer_master_key_spec = "SYMMETRIC_DEFAULT"
  multi_region             = false
  enable_key_rotation      = true
  deletion_window_in_days  = 30

  # What `strongroom policy generate` wrote, byte for byte. It lets nobody delete the key: whoever has to changes the policy first.
  policy = file(var.policy_file)

  lifecycle {
    prevent_destroy = true

    precondition {
      condition     = var.account_id != var.operator_account_id
      error_message = "The key lies in another account than the operator's: whoever administers it can let any image in."
    }

    precondition {
      condition     = var.account_id != var.other_key_account_id
      error_message = "The two roles' keys lie in two accounts: whoever administers both can recover wallets."
    }
  }
}
