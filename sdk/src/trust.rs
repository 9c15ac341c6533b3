//! Which root of attestation a caller trusts. Development is a choice made in code, never one that data can make.

use strongroom_attestation::Root;

/// The root that attestation documents must chain to, and whether a development manifest may pass.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trust {
    root: Root,
    development: bool,
}

impl Trust {
    /// AWS's root; a manifest with a development section is refused.
    #[must_use]
    pub fn aws() -> Self {
        Self { root: Root::aws(), development: false }
    }

    /// Another root, and manifests with a development section pass. Whoever holds that root's key, or the KMS that such a manifest
    /// names, can read everything: for tests and for work on a laptop.
    #[must_use]
    pub fn development(root: Root) -> Self {
        Self { root, development: true }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Whether the caller asked for development.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.development
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::aws()
    }
}
