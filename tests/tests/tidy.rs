//! The shape of the repository: who may depend on whom, what the trusted parts link, and what must stand in no file.

mod tidy {
    mod dependencies;
    mod documents;
    mod files;
    mod repository;
}
