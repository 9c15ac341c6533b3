output "key_arn" {
  description = "For the role's manifest (`strongroom operator manifest --kms-key-arn`) and for the operator's `key_arns`."
  value       = aws_kms_key.role.arn
}
