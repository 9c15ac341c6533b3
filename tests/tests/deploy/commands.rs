//! The operator's page: each of our commands in it is one that the program takes, and each file that it installs is there.

use std::process::Command;

use strongroom_tests::stack::process::binary;

/// Pages with commands.
const PAGES: &[&str] = &["README.md", "UPGRADE.md"];

/// Where the page installs our programs on the instance.
const INSTALLED: &str = "/usr/local/bin/";

/// The lines of the code blocks, continued ones joined: what is typed, whole.
fn commands(page: &str) -> Vec<String> {
    let text = super::text(page).replace("\\\n", " ");
    let typed = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    typed.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What the prose mentions: as much of a command as the sentence needs.
fn mentions(page: &str) -> Vec<String> {
    let text = super::text(page);
    text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The program and its words, where the line calls one of ours.
fn ours(line: &str) -> Option<(&str, Vec<&str>)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = if words.starts_with(&["sudo", "-u", "strongroom"]) { 3 } else { 0 };
    let program = *words.get(at)?;
    let program = program.strip_prefix(INSTALLED).unwrap_or(program);
    (["strongroom", "strongroom-host"].contains(&program) && words.len() > at + 1)
        .then(|| (program, words[at + 1..].to_vec()))
}

#[test]
fn every_command_of_ours_is_understood() {
    let mut seen = 0;
    let typed = PAGES.iter().flat_map(|page| commands(page)).map(|line| (line, true));
    let mentioned = PAGES.iter().flat_map(|page| mentions(page)).map(|line| (line, false));
    for (line, whole) in typed.chain(mentioned) {
        let Some((program, words)) = ours(&line) else { continue };
        if words[0].starts_with(|c: char| !c.is_ascii_lowercase() && c != '-') {
            continue;
        }
        seen += 1;
        let before: Vec<&str> = words.iter().copied().take_while(|word| !word.starts_with('-')).collect();
        let output = Command::new(binary(program).unwrap()).args(&before).arg("--help").output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let help = String::from_utf8(output.stdout).unwrap();
        // A folder of commands shows a list, and is no command.
        assert!(!help.contains("<COMMAND>"), "{line}: which command?");
        let (usage, options) = help.split_once("Usage:").unwrap();
        let options: Vec<&str> = options.split_whitespace().collect();
        assert!(!usage.is_empty());
        for option in words.iter().filter(|word| word.starts_with('-')) {
            assert!(options.contains(option), "{line}: {option} is no option: {help}");
        }
        // What the usage line demands is given.
        let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap();
        let optional = usage.replace(['<', '>'], " ");
        let mut depth = 0;
        for word in optional.split_whitespace().skip(1) {
            depth += word.matches(['[', '(']).count();
            if depth == 0 && word.starts_with("--") && whole && !words.contains(&"--help") {
                assert!(words.contains(&word), "{line}: lacks {word}");
            }
            depth -= word.matches([']', ')']).count();
        }
    }
    assert!(seen >= 18, "only {seen} commands");
}

#[test]
fn what_is_installed_is_in_the_repository_or_was_made_before() {
    let text = super::text("README.md");
    let installed = commands("README.md").into_iter().filter(|line| line.starts_with("install -m"));
    let mut files = 0;
    for line in installed {
        let words: Vec<&str> = line.split(' ').collect();
        for word in words[1..words.len() - 1].iter().filter(|word| word.starts_with("deploy/")) {
            let name = word.trim_start_matches("deploy/");
            assert!(super::path(name).is_file(), "{line}: no {word}");
            files += 1;
        }
    }
    assert!(files >= 9, "{files}");
    // Every unit, every slot and every configuration is put in place by the page.
    for folder in ["systemd", "nitro", "nitro/enclaves"] {
        for entry in std::fs::read_dir(super::path(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("deploy/{folder}/{}", entry.file_name().to_str().unwrap());
            assert!(entry.path().is_dir() || text.contains(&name), "README.md does not install {name}");
        }
    }
}

/// The word that stands between `start` and what ends a word of the shell.
fn after<'a>(line: &'a str, start: &str) -> Vec<&'a str> {
    let ends = |c: char| c.is_whitespace() || c == '"';
    line.split(start).skip(1).map(|rest| rest.split(ends).next().unwrap()).collect()
}

/// What is wrong with where the commands are typed: each is typed in the root folder of the repository, and what it reads is there.
fn problems_of_place(commands: &[String]) -> Vec<String> {
    let (mut written, mut problems) = (Vec::new(), Vec::new());
    for line in commands {
        let mut wrong = |problem: &str| problems.push(format!("{line}: {problem}"));
        if line.starts_with("cd ") || line.contains("&& cd ") {
            wrong("a second time, the folder is another one");
        }
        if line.starts_with("terraform ") {
            let folders = after(line, " -chdir=deploy/");
            let is_module = |folder: &&str| super::path(folder).join("main.tf").is_file();
            if folders.len() != 1 || !folders.iter().all(is_module) {
                wrong("in which folder of the repository?");
            }
            if after(line, "policy_file=").iter().any(|file| !file.starts_with("$PWD/")) {
                wrong("Terraform takes the policy's file from its own folder");
            }
        }
        let here = after(line, "$PWD/").into_iter().filter(|file| !file.starts_with("target/release:"));
        for file in here.chain(after(line, "file://")) {
            if !written.contains(&file) {
                wrong("the file was not written before, or not here");
            }
        }
        written.extend(after(line, "--out "));
    }
    problems
}

#[test]
fn every_file_is_read_where_an_earlier_command_wrote_it() {
    for page in PAGES {
        assert_eq!(problems_of_place(&commands(page)), Vec::<String>::new(), "{page}");
    }
    assert!(commands("README.md").iter().filter(|line| line.contains("policy_file=$PWD/")).count() >= 4);
    for (typed, expect) in [
        ("cd deploy/terraform/key", "the folder is another one"),
        ("terraform init", "in which folder"),
        ("terraform -chdir=deploy/terraform/keys init", "in which folder"),
        ("terraform -chdir=deploy/terraform/key apply -var policy_file=first.json", "its own folder"),
        ("terraform -chdir=deploy/terraform/key apply -var policy_file=$PWD/firs.json", "not written before"),
        ("aws kms put-key-policy --policy file://firs.json", "not written before"),
    ] {
        let problems = problems_of_place(&["strongroom policy generate --out first.json".to_owned(), typed.to_owned()]);
        assert!(problems.len() == 1 && problems[0].contains(expect), "{typed}: {problems:?}");
    }
}

/// Off the instance our programs are found by a `PATH` that was set before; under `sudo`, which has its own, by where they lie.
#[test]
fn our_programs_are_found_where_they_are_called() {
    let typed = commands("README.md");
    let path = typed.iter().position(|line| line == "export PATH=$PWD/target/release:$PATH").unwrap();
    let built = typed.iter().position(|line| line.starts_with("cargo build --release ")).unwrap();
    let called = typed.iter().position(|line| ours(line).is_some()).unwrap();
    assert!(built < path && path < called, "{built} {path} {called}");
    let lost = PAGES.iter().flat_map(|page| commands(page)).find(|line| line.starts_with("sudo -u strongroom strong"));
    assert_eq!(lost, None, "on whose PATH?");
    let by_place = typed.iter().filter(|line| line.contains(INSTALLED) && ours(line).is_some()).count();
    assert!(by_place >= 5, "{by_place}");
    assert!(typed.contains(&format!("install -m 0755 strongroom strongroom-host {INSTALLED}")));
}

/// What the commands on the instance take from the folder there, and from the shell, was brought and set.
#[test]
fn what_the_instance_is_asked_for_was_brought_there() {
    let text = super::text("README.md");
    let at = |heading: &str| text.find(heading).unwrap_or_else(|| panic!("no {heading}"));
    let brought = text[at("Bring to one folder")..].split("```").next().unwrap();
    let on_instance = &text[at("Bring to one folder")..at("## 8. Start")];
    let mut seen = 0;
    for line in on_instance.replace("\\\n", " ").split("```").skip(1).step_by(2).flat_map(str::lines) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let installed = if words.first() == Some(&"install") { &words[1..words.len() - 1] } else { &[] };
        let files = installed.iter().copied().filter(|word| word.contains('.') || word.starts_with("strongroom-"));
        let files =
            files.filter(|word| !word.contains('/')).chain(after(line, "client=")).chain(after(line, "custodian="));
        let variables = line
            .split('$')
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap());
        for word in files.filter(|word| !word.starts_with('$')).chain(variables) {
            assert!(
                brought.contains(&format!("`{word}`")),
                "{line}: {word} is not brought to the instance, nor set there"
            );
            seen += 1;
        }
    }
    assert!(seen >= 13, "{seen}");
}

/// A statement of both roles is signed after a look at both key policies.
#[test]
fn whoever_signs_for_both_roles_has_both_key_policies() {
    let mut seen = 0;
    for line in PAGES.iter().flat_map(|page| commands(page)) {
        if line.starts_with("strongroom tenant statement ") || line.starts_with("strongroom tenant update ") {
            let roles: Vec<&str> = after(&line, "--key-policy ").iter().filter_map(|it| it.split('=').next()).collect();
            assert_eq!(roles, ["client", "custodian"], "{line}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// A manifest comes into the slot that is started next, and never into one that runs until it is stopped.
#[test]
fn a_manifest_comes_into_an_empty_slot() {
    let typed = commands("UPGRADE.md");
    let slots_in = |program: &str, start: &str, end: &str| -> Vec<String> {
        let lines = typed.iter().filter(|line| line.starts_with(program));
        lines.flat_map(|line| after(line, start)).filter_map(|it| it.strip_suffix(end)).map(str::to_owned).collect()
    };
    let filled = slots_in("install ", "/etc/strongroom/", ".manifest");
    let with_image = slots_in("install ", "/opt/strongroom/", ".eif");
    let started = slots_in("systemctl enable --now ", "strongroom-enclave@", "");
    let stopped = slots_in("systemctl disable --now ", "strongroom-enclave@", "");
    assert_eq!((&filled, &with_image), (&started, &started));
    assert!(started.len() >= 2 && stopped.len() >= 2, "{started:?} {stopped:?}");
    assert!(filled.iter().all(|slot| !stopped.contains(slot)), "{filled:?} {stopped:?}");
    // What is emptied in the end was stopped before.
    for slot in slots_in("rm ", "/etc/strongroom/", ".manifest") {
        assert!(stopped.contains(&slot) || stopped.contains(&slot.replace("custodian", "client")), "{slot}");
    }
}

/// Links of the page lead to files of the repository.
#[test]
fn the_page_leads_to_files_that_are_there() {
    let text = super::text("README.md");
    let links: Vec<&str> = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.contains(&"host.toml") && links.contains(&"UPGRADE.md"), "{links:?}");
    for link in links {
        assert!(super::path(link).is_file(), "no {link}");
    }
    let folders = text.split('`').filter(|code| code.starts_with("deploy/") && code.ends_with('/'));
    for folder in folders {
        assert!(super::path(folder.trim_start_matches("deploy/")).is_dir(), "no {folder}");
    }
    assert!(text.contains("## What could not be tested here (real EC2)"));
}
