# One IAM role for each instance. Its credentials go to the host and from there into the enclaves: they are no secret from the operator, and
# open nothing without an attestation document that the key's policy asks for.

resource "aws_iam_role" "enclave" {
  for_each = var.instances

  name        = "strongroom-${each.key}"
  description = "Strongroom enclaves: ${join(", ", each.value)}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Instance"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

# A key in another account takes both: this, and the key's own policy.
resource "aws_iam_role_policy" "keys" {
  for_each = local.started

  name = "role-keys"
  role = aws_iam_role.enclave[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "RoleKeys"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
        Resource = [for role in each.value : var.key_arns[role]]
      },
      {
        # The enclave tries these when it starts, and serves only where they are denied. They stay denied whatever is attached beside this.
        Sid    = "NeverThese"
        Effect = "Deny"
        Action = [
          "kms:CreateGrant",
          "kms:Encrypt",
          "kms:PutKeyPolicy",
          "kms:ReEncryptFrom",
          "kms:ReEncryptTo",
          "kms:ReplicateKey",
        ]
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_instance_profile" "enclave" {
  for_each = var.instances

  name = "strongroom-${each.key}"
  role = aws_iam_role.enclave[each.key].name
}
