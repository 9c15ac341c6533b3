output "enclave_role_arns" {
  description = "The IAM role of each instance, for `strongroom policy generate --enclave-role`."
  value       = { for name, role in aws_iam_role.enclave : name => role.arn }
}

output "instance_ids" {
  description = "The instances."
  value       = { for name, instance in aws_instance.parent : name => instance.id }
}

output "private_addresses" {
  description = "Where the gRPC API of each instance is."
  value       = { for name, instance in aws_instance.parent : name => instance.private_ip }
}
