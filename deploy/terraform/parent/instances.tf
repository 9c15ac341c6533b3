resource "aws_instance" "parent" {
  for_each = local.started

  ami                         = var.ami_id
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  vpc_security_group_ids      = [aws_security_group.host.id]
  iam_instance_profile        = aws_iam_instance_profile.enclave[each.key].name
  associate_public_ip_address = false
  disable_api_termination     = true
  ebs_optimized               = true
  tags                        = { Name = "strongroom-${each.key}" }

  user_data = templatefile("${path.module}/user-data.sh.tftpl", {
    allocator = file("${path.module}/../../nitro/allocator.yaml")
  })

  enclave_options {
    enabled = true
  }

  # Version 2 alone, and no further than this machine.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # The store lies here, and outlives the instance.
  root_block_device {
    encrypted             = true
    kms_key_id            = var.volume_kms_key_arn
    volume_type           = "gp3"
    volume_size           = var.root_volume_gib
    delete_on_termination = false
  }

  lifecycle {
    prevent_destroy = true
    # Another image or another first start would replace the machine.
    ignore_changes = [ami, user_data]
  }
}
