# What the operator runs: the instances with their enclaves, and the IAM roles with whose credentials the enclaves call KMS. The keys are
# not here: they lie in two other accounts (../key).

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

locals {
  # Instances are made once every role has its key; their IAM roles come first, since the key policies name them.
  roles   = toset(flatten([for roles in values(var.instances) : tolist(roles)]))
  started = { for name, roles in var.instances : name => roles if alltrue([for role in local.roles : contains(keys(var.key_arns), role)]) }
}
