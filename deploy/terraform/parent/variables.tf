variable "region" {
  description = "AWS region of the instances."
  type        = string
}

variable "account_id" {
  description = "The operator's account, 12 digits. Credentials of another account are refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has 12 digits."
  }
}

variable "instances" {
  description = "The instances by name, and the roles whose enclaves run on each. An act on both roles needs both beside one host."
  type        = map(set(string))
  default     = { both = ["client", "custodian"] }

  validation {
    condition     = alltrue([for roles in values(var.instances) : length(roles) > 0 && length(setsubtract(roles, ["client", "custodian"])) == 0])
    error_message = "Each instance has the role client, custodian, or both."
  }
}

variable "key_arns" {
  description = "ARN of each role's KMS key, as ../key printed it. Empty at first: the key policies name the IAM roles made here."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.key_arns) : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-f-]+$", arn))])
    error_message = "Each is the ARN of one single-Region key, no alias and no pattern."
  }

  validation {
    condition     = alltrue([for arn in values(var.key_arns) : split(":", arn)[4] != var.account_id])
    error_message = "The keys lie in other accounts than the operator's."
  }

  validation {
    condition     = length(distinct([for arn in values(var.key_arns) : split(":", arn)[4]])) == length(var.key_arns)
    error_message = "The two roles' keys lie in two accounts."
  }
}

variable "vpc_id" {
  description = "The VPC of the instances."
  type        = string
}

variable "subnet_id" {
  description = "A private subnet with a way to KMS on port 443: a NAT gateway, or an interface endpoint for KMS."
  type        = string
}

variable "ami_id" {
  description = "Amazon Linux 2023 for x86_64, by its id, so that a newer one replaces no instance by itself."
  type        = string
}

variable "instance_type" {
  description = "A type for Nitro Enclaves. Two enclaves in service and one that replaces one of them take 6 vCPUs, the host 2."
  type        = string
  default     = "m7i.2xlarge"
}

variable "root_volume_gib" {
  description = "Size of the root volume, on which the store lies, in GiB."
  type        = number
  default     = 100
}

variable "volume_kms_key_arn" {
  description = "KMS key of the root volume; null for the account's default key of EBS. It has nothing to do with the roles' keys."
  type        = string
  default     = null
}

variable "api_port" {
  description = "Port of the gRPC API, as the host's configuration has it."
  type        = number
  default     = 7443
}

variable "api_cidrs" {
  description = "IPv4 ranges from which the tenants' backends reach the API. The whole internet is refused."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_cidrs : can(cidrnetmask(cidr)) && tonumber(split("/", cidr)[1]) >= 8])
    error_message = "Each is an IPv4 range of a prefix of at least 8 bits."
  }
}

variable "api_security_groups" {
  description = "Security groups from which the tenants' backends reach the API."
  type        = set(string)
  default     = []
}
