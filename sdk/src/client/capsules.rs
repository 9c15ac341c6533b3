//! Capsules on their way: in chunks, and never more of them than a capsule has.

use strongroom_proto::v1::ExportCapsuleRequest;
use strongroom_proto::v1::backup_service_client::BackupServiceClient;

use super::{Client, body};
use crate::capsule::{CAPSULE_BYTES_MAX, CHUNK_BYTES_MAX};
use crate::error::Error;
use crate::status::Refusal;

impl Client {
    /// The bytes of a backup's capsule. Nothing is checked yet but their number.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Malformed`] past a limit.
    pub async fn export_capsule(&self, request: &ExportCapsuleRequest) -> Result<Vec<u8>, Error> {
        let mut chunks = body(BackupServiceClient::new(self.service()).export_capsule(request.clone()).await)?;
        let mut bytes = Vec::new();
        loop {
            let chunk =
                chunks.message().await.map_err(|status| Error::Refused(Box::new(Refusal::from_status(&status))))?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            add(&mut bytes, &chunk.data)?;
        }
    }
}

fn add(bytes: &mut Vec<u8>, data: &[u8]) -> Result<(), Error> {
    if data.is_empty() || data.len() > CHUNK_BYTES_MAX {
        let problem = format_args!("a chunk has {} bytes; 1 to {CHUNK_BYTES_MAX} are allowed", data.len());
        return Err(Error::malformed("capsule", problem));
    }
    if bytes.len() + data.len() > CAPSULE_BYTES_MAX {
        return Err(Error::malformed("capsule", format_args!("it has more than {CAPSULE_BYTES_MAX} bytes")));
    }
    bytes.extend_from_slice(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_at_their_limits() {
        let mut bytes = Vec::new();
        add(&mut bytes, &vec![1; CHUNK_BYTES_MAX]).unwrap();
        assert_eq!(bytes.len(), CHUNK_BYTES_MAX);
        for chunk in [vec![], vec![1; CHUNK_BYTES_MAX + 1]] {
            assert!(add(&mut bytes, &chunk).unwrap_err().to_string().contains("a chunk has"), "{}", chunk.len());
        }
        let mut whole = vec![0; CAPSULE_BYTES_MAX - 1];
        add(&mut whole, &[1]).unwrap();
        assert!(add(&mut whole, &[1]).unwrap_err().to_string().contains("it has more than"));
    }
}
