//! The statement as the backend serves and believes it. It is read again when the operator says so, and one that is no good changes
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::SignedStatement;
use strongroom_sdk::Error;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::read_statement;

/// A statement, as it is served and checked.
pub(crate) struct Held {
    pub(crate) signed: SignedStatement,
    pub(crate) verified: VerifiedStatement,
}

/// The statement in force, and the file that the next one comes from.
pub(crate) struct Current {
    path: PathBuf,
    tenant: TenantId,
    held: RwLock<Arc<Held>>,
}

impl Current {
    /// Reads the tenant's statement.
    pub(crate) fn load(path: PathBuf, tenant: TenantId) -> Result<Self, Error> {
        let held = RwLock::new(Arc::new(read(&path, tenant)?));
        Ok(Self { path, tenant, held })
    }

    /// The tenant, which no statement changes.
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What is in force now. Whoever holds it sees no half of another.
    pub(crate) fn get(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again and gives the serial then in force.
    ///
    /// # Errors
    /// Where the file is no statement of this tenant, or not newer: then the one before stays.
    pub(crate) fn reload(&self) -> Result<u64, Error> {
        let new = read(&self.path, self.tenant)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let (serial, before) = (new.verified.serial(), held.verified.serial());
        if new.signed != held.signed {
            if serial <= before {
                let problem = format!("serial {serial} is not above {before}");
                return Err(Error::Input { field: "statement".to_owned(), problem });
            }
            *held = Arc::new(new);
        }
        Ok(serial)
    }
}

fn read(path: &Path, tenant: TenantId) -> Result<Held, Error> {
    let signed = read_statement(path)?;
    Ok(Held { verified: VerifiedStatement::verify(&signed, tenant)?, signed })
}
