//! The shape of the repository: who may depend on whom, what the trusted parts link, and what must stand in no file.

mod tidy {
    pub mod dependencies;
    pub mod documents;
    pub mod files;
    pub mod repository;
}
