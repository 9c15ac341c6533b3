variable "role" {
  description = "The role whose enclaves use the key: client or custodian."
  type        = string

  validation {
    condition     = contains(["client", "custodian"], var.role)
    error_message = "The role is client or custodian."
  }
}

variable "region" {
  description = "AWS region of the key, the one that the manifest names."
  type        = string
}

variable "account_id" {
  description = "The account that holds this key, 12 digits. Credentials of another account are refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has 12 digits."
  }
}

variable "operator_account_id" {
  description = "The account in which the enclaves run, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.operator_account_id))
    error_message = "An account has 12 digits."
  }
}

variable "other_key_account_id" {
  description = "The account that holds the other role's key, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.other_key_account_id))
    error_message = "An account has 12 digits."
  }
}

variable "policy_file" {
  description = "The key policy that `strongroom policy generate` wrote for this role, a JSON file."
  type        = string
}
