use strongroom_sdk::proto::v1::{ImageMeasurement, RoleStatement};

use super::*;

const ENCLAVE: &str = "arn:aws:iam::111122223333:role/client-enclave";
const ADMINISTRATOR: &str = "arn:aws:iam::444455556666:role/key-administrator";

fn draft() -> Draft {
    Draft {
        role: Role::Client,
        enclaves: vec![ENCLAVE.to_owned()],
        administrators: vec![ADMINISTRATOR.to_owned()],
        images: vec![ImagePcrs { pcr0: [1; 48], pcr1: Some([2; 48]), pcr2: Some([3; 48]) }],
        manifests: vec![[16; 48]],
    }
}

fn statement() -> Statement {
    Statement {
        images: vec![ImageMeasurement { pcr0: vec![1; 48], pcr1: vec![2; 48], pcr2: vec![3; 48] }],
        client: Some(RoleStatement { pcr16: vec![vec![16; 48]], ..RoleStatement::default() }),
        ..Statement::default()
    }
}

#[test]
fn policies_are_named_by_role_and_images_by_one_measurement_or_three() {
    let file = policy_file("custodian=a=b").unwrap();
    assert_eq!((file.role, file.path.to_str()), (Role::Custodian, Some("a=b")));
    for text in ["", "client", "client=", "=x", "Client=x", "unspecified=x"] {
        assert!(policy_file(text).is_err(), "{text}");
    }
    let one = "01".repeat(48);
    assert_eq!(image_pcrs(&one).unwrap(), ImagePcrs { pcr0: [1; 48], pcr1: None, pcr2: None });
    assert_eq!(image_pcrs(&format!("{one}:{one}:{one}")).unwrap().pcr2, Some([1; 48]));
    for text in [String::new(), "00".repeat(48), format!("{one}:{one}"), format!("{one}:"), one.to_uppercase() + "0"] {
        assert!(image_pcrs(&text).is_err(), "{text}");
    }
}

#[test]
fn a_statement_is_built_over_policies_without_errors_alone() {
    let dir = tempfile::tempdir().unwrap();
    let show = Show::from_environment();
    let file = |role: Role, name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        PolicyFile { role, path }
    };
    let good = draft().build().unwrap();
    let check =
        |policies: &[PolicyFile]| check_statement(policies, &statement(), &[], show).map_err(|error| error.to_string());
    check(&[]).unwrap();
    let client = file(Role::Client, "good", &good);
    // Who the administrator is, the statement does not know: that is a warning.
    check(std::slice::from_ref(&client)).unwrap();
    let other_image = Draft { images: vec![ImagePcrs { pcr0: [9; 48], pcr1: None, pcr2: None }], ..draft() };
    let other_manifest = Draft { manifests: vec![[17; 48]], ..draft() };
    let operator = vec![ADMINISTRATOR.to_owned(), "arn:aws:iam::111122223333:role/key-administrator".to_owned()];
    let same_account = Draft { administrators: operator, ..draft() };
    let same_account = file(Role::Client, "account", &same_account.build().unwrap());
    // With one account things may be tried out.
    let tried = |development| {
        check_statement(std::slice::from_ref(&same_account), &statement(), development, show)
            .map_err(|error| error.to_string())
    };
    tried(&[Role::Client]).unwrap();
    for development in [&[][..], &[Role::Custodian]] {
        assert_eq!(tried(development).unwrap_err(), "the key policy of the client role has 1 errors");
    }
    let other_role = Draft { role: Role::Custodian, ..draft() };
    // What the statement lists and the policy does not: one of two images, one of two manifests.
    let check_more = |change: fn(&mut Statement)| {
        let mut statement = statement();
        change(&mut statement);
        check_statement(std::slice::from_ref(&client), &statement, &[], show).map_err(|error| error.to_string())
    };
    let more: [fn(&mut Statement); 2] = [
        |it| it.images.push(ImageMeasurement { pcr0: vec![4; 48], pcr1: vec![5; 48], pcr2: vec![6; 48] }),
        |it| it.client.as_mut().unwrap().pcr16.push(vec![17; 48]),
    ];
    for change in more {
        assert_eq!(check_more(change).unwrap_err(), "the key policy of the client role has 1 errors");
    }
    let unattested = good.replace("\"kms:DescribeKey\"\n", "\"kms:Decrypt\"\n");
    assert_ne!(unattested, good);
    for (policies, expect) in [
        (vec![client.clone(), client.clone()], "--key-policy client: is there twice"),
        (vec![file(Role::Custodian, "custodian", &good)], "--key-policy custodian: is of a role that"),
        (vec![file(Role::Client, "image", &other_image.build().unwrap())], "the key policy of the client role has"),
        (
            vec![file(Role::Client, "manifest", &other_manifest.build().unwrap())],
            "the key policy of the client role has",
        ),
        (vec![file(Role::Client, "role", &other_role.build().unwrap())], "the key policy of the client role has"),
        (vec![file(Role::Client, "unattested", &unattested)], "the key policy of the client role has"),
        (vec![file(Role::Client, "empty", "")], "the key policy of the client role has 1 errors"),
        (vec![PolicyFile { role: Role::Client, path: dir.path().join("none") }], &dir.path().display().to_string()),
    ] {
        let error = check(&policies).unwrap_err();
        assert!(error.starts_with(expect), "{expect}: {error}");
    }
}

#[test]
fn generate_and_lint_belong_together() {
    let dir = tempfile::tempdir().unwrap();
    let show = Show::from_environment();
    let out = dir.path().join("client.json");
    let make = || Generate {
        role: RoleName::Client,
        enclaves: draft().enclaves,
        administrators: draft().administrators,
        images: draft().images,
        manifests: draft().manifests,
        out: Some(out.clone()),
    };
    run(Policy::Generate(make()), show).unwrap();
    assert!(matches!(run(Policy::Generate(make()), show), Err(Error::Exists(_))));
    let judge = |role: RoleName, administrator: &str, pcr16: u8| {
        let lint = Lint {
            file: out.clone(),
            role,
            images: draft().images,
            manifests: vec![[pcr16; 48]],
            administrators: vec![administrator.to_owned()],
        };
        run(Policy::Lint(lint), show)
    };
    judge(RoleName::Client, ADMINISTRATOR, 16).unwrap();
    for (role, administrator, pcr16) in [
        (RoleName::Custodian, ADMINISTRATOR, 16),
        (RoleName::Client, "arn:aws:iam::111122223333:role/operator", 16),
        (RoleName::Client, ADMINISTRATOR, 17),
    ] {
        let error = judge(role, administrator, pcr16).unwrap_err();
        assert!(matches!(error, Error::KeyPolicy { .. }), "{error}");
    }
}
