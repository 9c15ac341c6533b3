//! The operator's page: each of our commands in it is one that the program takes, and each file that it installs is there.

use std::process::Command;

use strongroom_tests::stack::process::binary;

/// Pages with commands.
const PAGES: &[&str] = &["README.md", "UPGRADE.md"];

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
