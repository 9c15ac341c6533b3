//! The eject window: for a while, the custodian role may release to the user's device. The tenant opens it; no passkey can.

use strongroom_proto::limits::{EJECT_WINDOW_SECONDS_MAX, EJECT_WINDOW_SECONDS_MIN};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{OpenEjectWindowAction, Role};

use super::{Base, EncodedIntent, plain};
use crate::error::Error;
use crate::view::Backup;

/// How long a window is open where nobody says otherwise: 5 minutes.
pub const EJECT_WINDOW_SECONDS: u32 = 5 * 60;

/// How long an eject window is open: a minute to a day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EjectWindow(u32);

impl EjectWindow {
    /// So many seconds.
    ///
    /// # Errors
    /// [`Error::Input`] outside [`EJECT_WINDOW_SECONDS_MIN`] to [`EJECT_WINDOW_SECONDS_MAX`].
    pub fn from_seconds(seconds: u32) -> Result<Self, Error> {
        if (EJECT_WINDOW_SECONDS_MIN..=EJECT_WINDOW_SECONDS_MAX).contains(&seconds) {
            return Ok(Self(seconds));
        }
        let allowed = format!("{EJECT_WINDOW_SECONDS_MIN} to {EJECT_WINDOW_SECONDS_MAX} are allowed");
        Err(Error::input("eject window", format!("{seconds} s; {allowed}")))
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for EjectWindow {
    fn default() -> Self {
        Self(EJECT_WINDOW_SECONDS)
    }
}

/// The opening of an eject window. It names the custodian role alone, and only the tenant signs it.
///
/// # Errors
/// As [`EncodedIntent::new`]; [`Error::RoleNotServed`] where the backup has no record in the custodian role here.
pub fn open_eject_window(base: &Base<'_>, backup: Backup<'_>, window: EjectWindow) -> Result<EncodedIntent, Error> {
    let action = OpenEjectWindowAction { duration_seconds: window.0 };
    plain(base, backup.only(Role::Custodian)?, Action::OpenEjectWindow(action))
}
