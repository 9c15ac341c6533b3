//! Who calls: the access key id of the `Authorization` header (AWS Signature Version 4). The signature
//! itself is not verified yet.

use super::Place;
use super::error::{Kind, KmsError};

/// Longest access key id, in bytes, as IAM has it.
const ACCESS_KEY_ID_BYTES_MAX: usize = 128;

/// An IAM user of the account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Principal {
    arn: String,
}

impl Principal {
    /// The user that an access key id names.
    #[must_use]
    pub fn user(place: &Place, access_key_id: &str) -> Self {
        Self { arn: format!("arn:aws:iam::{}:user/{access_key_id}", place.account()) }
    }

    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// `MissingAuthenticationTokenException` without a header, `IncompleteSignatureException` for one of
    /// another form, `InvalidSignatureException` for one of another region or service.
    pub fn of_header(place: &Place, header: Option<&str>) -> Result<Self, KmsError> {
        let header =
            header.ok_or_else(|| KmsError::new(Kind::MissingAuthenticationToken, "Missing Authentication Token"))?;
        let incomplete = |what: &str| KmsError::new(Kind::IncompleteSignature, format!("Authorization header: {what}"));
        let parameters =
            header.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(|| incomplete("it must be AWS4-HMAC-SHA256"))?;
        let parameter = |name: &str| {
            parameters
                .split(',')
                .find_map(|part| part.trim().strip_prefix(name))
                .and_then(|rest| rest.strip_prefix('='))
                .filter(|value| !value.is_empty())
                .ok_or_else(|| incomplete(&format!("it has no {name}")))
        };
        let credential = parameter("Credential")?;
        parameter("SignedHeaders")?;
        parameter("Signature")?;
        let mut scope = credential.split('/');
        let [id, _date, region, service, end] = [(); 5].map(|()| scope.next().unwrap_or_default());
        let id_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if id.is_empty() || id.len() > ACCESS_KEY_ID_BYTES_MAX || !id.bytes().all(id_byte) {
            return Err(incomplete("Credential has no access key id"));
        }
        if region != place.region() || service != "kms" || end != "aws4_request" || scope.next().is_some() {
            let text = format!("Credential should be scoped to {}/kms/aws4_request", place.region());
            return Err(KmsError::new(Kind::InvalidSignature, text));
        }
        Ok(Self::user(place, id))
    }

    /// The user's ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_a_user_of_this_region() {
        let place = Place::new("eu-central-1", "111122223333").unwrap();
        let ok =
            "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=ab";
        let user = Principal::of_header(&place, Some(ok)).unwrap();
        assert_eq!(user.arn(), "arn:aws:iam::111122223333:user/AKID");
        for (header, kind) in [
            (None, Kind::MissingAuthenticationToken),
            (Some(""), Kind::IncompleteSignature),
            (Some("Bearer x"), Kind::IncompleteSignature),
            (Some("AWS4-HMAC-SHA256 Credential="), Kind::IncompleteSignature),
            (Some("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=ab"), Kind::IncompleteSignature),
            (Some(&ok.replace("AKID", "")), Kind::IncompleteSignature),
            (Some(&ok.replace("AKID", "a:b")), Kind::IncompleteSignature),
            (Some(&ok.replace("AKID", &"a".repeat(129))), Kind::IncompleteSignature),
            (Some(&ok.replace(", Signature=ab", "")), Kind::IncompleteSignature),
            (Some(&ok.replace("=host", "=")), Kind::IncompleteSignature),
            (Some(&ok.replace("eu-central-1", "us-east-1")), Kind::InvalidSignature),
            (Some(&ok.replace("/kms/", "/s3/")), Kind::InvalidSignature),
            (Some(&ok.replace("aws4_request", "aws4_request/more")), Kind::InvalidSignature),
        ] {
            assert_eq!(Principal::of_header(&place, header).unwrap_err().kind, kind, "{header:?}");
        }
        assert!(Principal::of_header(&place, Some(&ok.replace("AKID", &"a".repeat(128)))).is_ok());
    }

    #[test]
    fn a_place_has_a_region_and_an_account() {
        for (region, account) in
            [("", "111122223333"), ("EU", "111122223333"), ("eu/", "111122223333"), ("eu", "1"), ("eu", "11112222333a")]
        {
            assert!(Place::new(region, account).is_err(), "{region} {account}");
        }
        assert!(Place::new(&"a".repeat(32), "111122223333").is_ok());
        assert!(Place::new(&"a".repeat(33), "111122223333").is_err());
    }
}
