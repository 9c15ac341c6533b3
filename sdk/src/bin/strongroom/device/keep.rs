//! Storage by the caller: a folder in the host's place.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use strongroom_sdk::Error;
use strongroom_sdk::device::{Acted, Device};
use strongroom_sdk::kept::{Folder, Keeper, Kept, Kind};

use crate::show::Show;

/// Who keeps the client's part of a backup.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum StorageName {
    /// The host.
    Managed,
    /// A folder here.
    SelfManaged,
}

#[derive(Args, Debug)]
pub(crate) struct StorageFlags {
    /// Who keeps the client's part of every generation.
    #[arg(long, value_enum, default_value_t = StorageName::Managed, requires_if("self-managed", "keep"))]
    storage: StorageName,
    /// With --storage self-managed: the folder that keeps it; made if it is not there. Without its files the backup is of no use.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl StorageFlags {
    /// Refuses a folder without a use, and a use without a folder.
    pub(super) fn check(&self) -> Result<(), Error> {
        if (self.storage == StorageName::SelfManaged) == self.keep.is_some() {
            return Ok(());
        }
        let problem = "stands with --storage self-managed, and only with it".to_owned();
        Err(Error::Input { field: "--keep".to_owned(), problem })
    }

    pub(super) fn apply(&self, device: Device) -> Device {
        match &self.keep {
            Some(folder) => device.with_keeper(Arc::new(Folder::new(folder))),
            None => device,
        }
    }

    pub(super) fn show(&self, show: Show) {
        if let Some(folder) = &self.keep {
            show.value("kept", format_args!("the client's part, in {}; keep it: the host has none", folder.display()));
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct KeptFlags {
    /// Of a backup whose client's part is not kept by the host: the folder that keeps it.
    #[arg(long, value_name = "DIR")]
    kept: Option<PathBuf>,
}

impl KeptFlags {
    pub(super) fn apply(&self, device: Device) -> Device {
        match &self.kept {
            Some(folder) => device.with_keeper(Arc::new(Folder::new(folder))),
            None => device,
        }
    }

    /// After a release: what it brought has opened, so that older files can go; what it sealed anew is kept beside it.
    pub(super) fn released(
        &self,
        show: Show,
        (acted, generation): (&Acted, u64),
        resealed: Option<&Kept>,
    ) -> Result<(), Error> {
        let Some(path) = &self.kept else { return Ok(()) };
        let (folder, record_id) = (Folder::new(path), acted.receipt().record_id);
        // What was brought goes on to open until a release of the newer ones seals nothing anew.
        if acted.receipt().resealed.is_empty() {
            folder.opened(Kind::Shares, &record_id, generation)?;
        }
        if let Some(resealed) = resealed {
            folder.keep(resealed)?;
            let text = "sealed anew under the epoch in force, beside the old ones";
            show.value("kept", format_args!("generation {generation}, {text}, in {}", path.display()));
        }
        Ok(())
    }
}
