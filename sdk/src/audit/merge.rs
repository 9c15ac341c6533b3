//! An export that comes by pages: what every page repeats is kept once.

use strongroom_proto::v1::AuditExport;

/// Collects the pages of an export.
#[derive(Debug, Default)]
pub struct Merge(AuditExport);

impl Merge {
    /// Adds a page.
    pub fn add(&mut self, page: AuditExport) {
        for statement in page.statements {
            if !self.0.statements.contains(&statement) {
                self.0.statements.push(statement);
            }
        }
        for attestation in page.attestations {
            if !self.0.attestations.contains(&attestation) {
                self.0.attestations.push(attestation);
            }
        }
        self.0.receipts.extend(page.receipts);
    }

    /// The whole.
    #[must_use]
    pub fn finish(self) -> AuditExport {
        self.0
    }
}
