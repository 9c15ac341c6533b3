//! Passphrases: from `STRONGROOM_PASSPHRASE`, or asked for on the terminal without echo.

use strongroom_sdk::Error;
use strongroom_sdk::keys::Passphrase;

const VARIABLE: &str = "STRONGROOM_PASSPHRASE";

/// The passphrase of existing keys.
pub(crate) fn existing(prompt: &str) -> Result<Passphrase, Error> {
    match std::env::var(VARIABLE) {
        Ok(text) => Ok(Passphrase::new(text)),
        Err(_) => ask(prompt).map(Passphrase::new),
    }
}

/// The passphrase of a new tenant's keys, asked for twice.
pub(crate) fn new() -> Result<Passphrase, Error> {
    new_of("root and standby key")
}

/// The passphrase of new keys, asked for twice.
pub(crate) fn new_of(what: &str) -> Result<Passphrase, Error> {
    if std::env::var_os(VARIABLE).is_some() {
        return existing("");
    }
    let first = zeroizing(ask(&format!("New passphrase for {what}: "))?);
    let second = zeroizing(ask("The same once more: ")?);
    if *first != *second {
        return Err(Error::Input { field: "passphrase".to_owned(), problem: "the two differ".to_owned() });
    }
    Ok(Passphrase::new(first.as_str().to_owned()))
}

fn zeroizing(text: String) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(text)
}

fn ask(prompt: &str) -> Result<String, Error> {
    rpassword::prompt_password(prompt).map_err(|error| Error::Input {
        field: "passphrase".to_owned(),
        problem: format!("cannot be asked for ({error}); set {VARIABLE}"),
    })
}
