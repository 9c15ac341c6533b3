//! `make demo` tells its story to the end, and in as many lines as a person reads.

use std::process::Command;

use strongroom_tests::stack::process::binary;

/// Most lines of it.
const LINES_MAX: usize = 60;

#[test]
fn the_demo_comes_to_its_end_in_few_lines() {
    let told = Command::new(binary("demo").unwrap()).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{text}{}", String::from_utf8_lossy(&told.stderr));
    let lines = text.lines().count();
    assert!(lines <= LINES_MAX, "{lines} lines:\n{text}");
}
