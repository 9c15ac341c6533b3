//! Vectors of others and recordings of real authenticators, through our own code: files, no browser, no network.

mod files;
mod kems;
mod passkeys;
mod registrations;
mod sealing;
mod xwing;
