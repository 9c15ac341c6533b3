//! Terraform: names that exist, and what an enclave's key, role, machine and network must be.

use std::collections::BTreeSet;
use std::process::Command;

use super::hcl::{KEY, Module, PARENT, expression, field, label, module, statements, texts, value};

/// Words of a text that start so, with what follows the dot.
fn named(module: &Module, start: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    let words = module.text.split(|c| !is_word(c)).filter_map(|word| word.strip_prefix(start)?.strip_prefix('.'));
    words.map(|rest| rest.split('.').next().unwrap().to_owned()).collect()
}

#[test]
fn whatever_is_named_is_there_and_whatever_is_there_is_used() {
    for module in [module(KEY), module(PARENT)] {
        let name = module.name;
        let declared: BTreeSet<String> =
            module.blocks("variable", "").iter().map(|block| label(block, 0).to_owned()).collect();
        assert_eq!(named(&module, "var"), declared, "{name}: variables");
        let locals = module.blocks("locals", "");
        let locals: BTreeSet<String> =
            locals.iter().flat_map(|block| block.body().attributes().map(|it| it.key().to_owned())).collect();
        assert_eq!(named(&module, "local"), locals, "{name}: locals");
        let resources = module.blocks("resource", "");
        let of: BTreeSet<&str> = resources.iter().map(|block| label(block, 0)).collect();
        for of in of {
            let there = resources.iter().filter(|block| label(block, 0) == of).map(|block| label(block, 1).to_owned());
            let there: BTreeSet<String> = there.collect();
            let named = named(&module, of);
            assert!(named.is_subset(&there), "{name}: {of}: {named:?} of {there:?}");
        }
        // A resource that is named but of no type that is here.
        let types =
            module.text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|it| it.starts_with("aws_"));
        for of in types {
            assert!(resources.iter().any(|block| label(block, 0) == of), "{name}: no resource {of}");
        }
        for (kind, fields) in [("variable", ["description", "type"]), ("output", ["description", "value"])] {
            let blocks = module.blocks(kind, "");
            assert!(!blocks.is_empty(), "{name}: {kind}");
            for block in blocks {
                for field in fields {
                    assert!(value(block, field).len() > 3, "{name}: {kind} {} has no {field}", label(block, 0));
                }
            }
        }
        for folder in module.text.split("${path.module}/").skip(1) {
            let file = folder.split('"').next().unwrap();
            assert!(super::path(name).join(file).is_file(), "{name}: no file {file}");
        }
    }
}

/// The oldest Terraform in which a variable's validation may look at another variable.
const VALIDATES_ACROSS: &str = "\">= 1.9\"";

#[test]
fn a_terraform_that_does_not_understand_the_files_is_refused() {
    for module in [module(KEY), module(PARENT)] {
        let settings = module.blocks("terraform", "");
        assert_eq!(settings.len(), 1, "{}", module.name);
        assert_eq!(value(settings[0], "required_version"), VALIDATES_ACROSS, "{}", module.name);
    }
    // What demands it.
    let module = module(PARENT);
    let keys = module.blocks("variable", "key_arns")[0];
    let conditions: Vec<String> = keys.body().blocks().map(|it| value(it, "condition")).collect();
    assert!(conditions.iter().any(|it| it.contains("var.account_id")), "{conditions:?}");
}

#[test]
fn the_key_has_the_generated_policy_and_no_other_way_in() {
    let module = module(KEY);
    let key = module.resource("aws_kms_key");
    for (field, expect) in [
        ("policy", "file(var.policy_file)"),
        ("key_usage", "\"ENCRYPT_DECRYPT\""),
        ("customer_master_key_spec", "\"SYMMETRIC_DEFAULT\""),
        ("multi_region", "false"),
        ("deletion_window_in_days", "30"),
        ("lifecycle.prevent_destroy", "true"),
        // A tag takes a permission that the policy gives nobody.
        ("tags", ""),
        ("bypass_policy_lockout_safety_check", ""),
    ] {
        assert_eq!(value(key, field), expect, "{field}");
    }
    // No grant, replica, alias or second policy.
    assert_eq!(module.blocks("resource", "").len(), 1);
    assert_eq!(module.blocks("data", "").len() + module.blocks("module", "").len(), 0);
    let lifecycle = key.body().blocks().find(|it| it.identifier() == "lifecycle").unwrap();
    let conditions: Vec<String> = lifecycle.body().blocks().map(|it| value(it, "condition")).collect();
    for other in ["operator_account_id", "other_key_account_id"] {
        assert!(conditions.contains(&format!("var.account_id != var.{other}")), "{conditions:?}");
    }
    account_is_pinned(&module);
}

fn account_is_pinned(module: &Module) {
    let provider = module.blocks("provider", "aws");
    assert_eq!(provider.len(), 1);
    assert!(value(provider[0], "allowed_account_ids").contains("var.account_id"));
}

#[test]
fn the_machine_is_for_enclaves_and_keeps_its_metadata_and_its_disk() {
    let module = module(PARENT);
    let instance = module.resource("aws_instance");
    for (field, expect) in [
        ("enclave_options.enabled", "true"),
        ("metadata_options.http_tokens", "\"required\""),
        ("metadata_options.http_put_response_hop_limit", "1"),
        ("metadata_options.http_endpoint", "\"enabled\""),
        ("associate_public_ip_address", "false"),
        ("root_block_device.encrypted", "true"),
        ("root_block_device.delete_on_termination", "false"),
        ("disable_api_termination", "true"),
        ("lifecycle.prevent_destroy", "true"),
        ("vpc_security_group_ids", "[\n  aws_security_group.host.id\n]"),
        ("iam_instance_profile", "aws_iam_instance_profile.enclave[each.key].name"),
    ] {
        assert_eq!(value(instance, field), expect, "{field}");
    }
    account_is_pinned(&module);
    let start = super::text("terraform/parent/user-data.sh.tftpl");
    assert!(start.contains("\n${chomp(allocator)}\n"), "the allocator's reader knows no blank line");
    for secret in ["credentials", "secret", "key_id"] {
        assert!(!start.contains(secret), "user data is readable by whoever may describe the instance: {secret}");
    }
}

#[test]
fn the_enclaves_role_may_use_its_keys_and_nothing_else() {
    let module = module(PARENT);
    let policy = module.resource("aws_iam_role_policy");
    let statements_of_keys = statements(policy, "policy");
    let effect = |effect: &'static str| {
        let of = statements_of_keys.iter().filter(move |it| texts(field(it, "Effect")) == [effect]);
        of.copied().collect::<Vec<_>>()
    };
    let (allow, deny) = (effect("Allow"), effect("Deny"));
    assert_eq!((allow.len(), deny.len(), statements_of_keys.len()), (1, 1, 2));
    assert_eq!(texts(field(allow[0], "Action")), ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]);
    let resource = hcl::format::to_string(field(allow[0], "Resource").unwrap()).unwrap();
    assert_eq!(resource, "[for role in each.value : var.key_arns[role]]");
    // What the enclave's guard tries when it starts (enclave/runtime/src/kms/client/guards.rs) and is no use of an enclave's.
    let denied: BTreeSet<&str> = texts(field(deny[0], "Action")).into_iter().collect();
    for action in ["kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:CreateGrant", "kms:PutKeyPolicy"] {
        assert!(denied.contains(action), "{action}");
    }
    assert_eq!(texts(field(deny[0], "Resource")), ["*"]);
    assert!(statements_of_keys.iter().all(|it| field(it, "NotAction").or(field(it, "NotResource")).is_none()));

    let role = module.resource("aws_iam_role");
    let trust = statements(role, "assume_role_policy");
    assert_eq!(trust.len(), 1);
    assert_eq!(texts(field(trust[0], "Action")), ["sts:AssumeRole"]);
    let principal = field(trust[0], "Principal").unwrap();
    assert_eq!(texts(field(principal, "Service")), ["ec2.amazonaws.com"]);
    assert!(field(principal, "AWS").is_none());
    // The one wildcard is that of the Deny, and nothing else gives the role anything.
    assert_eq!(module.text.matches("\"*\"").count(), 1);
    assert!(!module.text.contains(":*\""));
    for attached in ["aws_iam_role_policy_attachment", "aws_iam_policy", "managed_policy_arns", "inline_policy"] {
        assert!(!module.text.contains(attached), "{attached}");
    }
}

#[test]
fn nobody_but_the_backends_comes_in_and_only_tls_goes_out() {
    let module = module(PARENT);
    let group = module.resource("aws_security_group");
    assert!(group.body().blocks().next().is_none(), "rules are resources of their own");
    let ingress = module.blocks("resource", "aws_vpc_security_group_ingress_rule");
    let from: BTreeSet<(String, String)> = ingress
        .iter()
        .map(|rule| {
            assert_eq!([value(rule, "from_port"), value(rule, "to_port")], ["var.api_port", "var.api_port"]);
            assert_eq!(value(rule, "ip_protocol"), "\"tcp\"");
            assert_eq!(value(rule, "cidr_ipv6") + &value(rule, "prefix_list_id"), "");
            let source = value(rule, "cidr_ipv4") + &value(rule, "referenced_security_group_id");
            (value(rule, "for_each"), source)
        })
        .collect();
    let expect = ["var.api_cidrs", "var.api_security_groups"].map(|it| (it.to_owned(), "each.value".to_owned()));
    assert_eq!(from, BTreeSet::from(expect));
    let egress = module.blocks("resource", "aws_vpc_security_group_egress_rule");
    assert_eq!(egress.len(), 1);
    let fields = ["ip_protocol", "from_port", "to_port"].map(|field| value(egress[0], field));
    assert_eq!(fields, ["\"tcp\"", "443", "443"]);
    assert_eq!(module.text.matches("0.0.0.0/0").count(), 1, "the one way out");
    assert!(!module.text.contains("::/0"));
    // The ranges are empty unless somebody says otherwise, and the whole internet is refused.
    let cidrs = module.blocks("variable", "api_cidrs")[0];
    assert_eq!(value(cidrs, "default"), "[]");
    let condition = expression(cidrs, "validation.condition").map(|it| hcl::format::to_string(it).unwrap()).unwrap();
    assert!(condition.contains(">= 8") && condition.contains("cidrnetmask"), "{condition}");
}

/// AWS takes a few characters alone in what a rule says of itself.
#[test]
fn descriptions_of_rules_have_characters_that_aws_takes() {
    let module = module(PARENT);
    for block in module.blocks("resource", "").into_iter().filter(|it| label(it, 0).contains("security_group")) {
        let said = value(block, "description");
        let said = said.trim_matches('"');
        let taken = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
        assert!((1..=255).contains(&said.len()) && said.chars().all(taken), "{said}");
    }
}

#[test]
fn terraform_would_write_the_files_so() {
    let Ok(output) =
        Command::new("terraform").args(["fmt", "-check", "-diff", "-recursive"]).arg(super::path("terraform")).output()
    else {
        println!("terraform is not installed: the files' form is not checked");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
