# In comes the gRPC API, from where the tenants' backends are; out goes TLS. Names, time and instance metadata come over link-local
# addresses, which security groups do not filter.

resource "aws_security_group" "host" {
  name        = "strongroom-host"
  description = "Strongroom: gRPC in, TLS out"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "api_cidr" {
  for_each = var.api_cidrs

  security_group_id = aws_security_group.host.id
  description       = "gRPC API, from the backends of tenants"
  ip_protocol       = "tcp"
  from_port         = var.api_port
  to_port           = var.api_port
  cidr_ipv4         = each.value
}

resource "aws_vpc_security_group_ingress_rule" "api_group" {
  for_each = var.api_security_groups

  security_group_id            = aws_security_group.host.id
  description                  = "gRPC API, from the backends of tenants"
  ip_protocol                  = "tcp"
  from_port                    = var.api_port
  to_port                      = var.api_port
  referenced_security_group_id = each.value
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.host.id
  description       = "KMS and packages of the system"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}
