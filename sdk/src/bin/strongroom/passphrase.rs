//! Passphrases: from `STRONGROOM_PASSPHRASE`, or asked for on the terminal without echo.

use strongroom_sdk::Error;
use strongroom_sdk::keys::Passphrase;

const VARIABLE: &str = "STRONGROOM_PASSPHRASE";
const SOURCE: Source = Source { field: "passphrase", otherwise: "set STRONGROOM_PASSPHRASE" };

/// What is asked for, and how else it can be given.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) field: &'static str,
    pub(crate) otherwise: &'static str,
}

/// The passphrase of existing keys.
pub(crate) fn existing(prompt: &str) -> Result<Passphrase, Error> {
    match std::env::var(VARIABLE) {
        Ok(text) => Ok(Passphrase::new(text)),
        Err(_) => ask(prompt, SOURCE).map(Passphrase::new),
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
    let first = zeroizing(ask(&format!("New passphrase for {what}: "), SOURCE)?);
    let second = zeroizing(ask("The same once more: ", SOURCE)?);
    if *first != *second {
        return Err(Error::Input { field: "passphrase".to_owned(), problem: "the two differ".to_owned() });
    }
    Ok(Passphrase::new(first.as_str().to_owned()))
}

fn zeroizing(text: String) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(text)
}

/// Asks on the terminal without echo.
pub(crate) fn ask(prompt: &str, source: Source) -> Result<String, Error> {
    rpassword::prompt_password(prompt).map_err(|error| Error::Input {
        field: source.field.to_owned(),
        problem: format!("cannot be asked for ({error}); {}", source.otherwise),
    })
}
