//! `strongroom doctor` as an operator runs it: the real binary, over a folder that stands for a parent instance, a listener that stands for
//! instance metadata, and the real host's check of its configuration.

mod doctor {
    mod metadata;
    mod parent;
    mod refusals;
    mod service;
}
