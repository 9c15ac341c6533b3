//! The `Authorization` header of AWS Signature Version 4: its form and its scope. Whether the signature is
//! right is for [`sigv4`](super::sigv4) to say.

use super::Place;
use super::error::{Kind, KmsError};
use super::users::is_access_key_id;
use std::net::IpAddr;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Most headers that a signature may cover. AWS's own clients sign fewer than ten.
pub const SIGNED_HEADERS_MAX: usize = 50;

/// An IAM user of the account, or a role that somebody took on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Principal {
    arn: String,
}

impl Principal {
    /// The user of a name.
    #[must_use]
    pub fn user(place: &Place, name: &str) -> Self {
        Self { arn: format!("arn:aws:iam::{}:user/{name}", place.account()) }
    }

    /// The role of a name, as key policies know whoever has taken it on.
    #[must_use]
    pub fn role(place: &Place, name: &str) -> Self {
        Self { arn: format!("arn:aws:iam::{}:role/{name}", place.account()) }
    }

    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}

/// Who calls, and from where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// The user whose signature the call has.
    pub principal: Principal,
    /// The peer of the connection.
    pub source_ip: IpAddr,
}

/// What the header says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authorization {
    /// Whose key signed.
    pub access_key_id: String,
    /// The day of the scope, `YYYYMMDD`.
    pub date: String,
    /// Names of the signed headers: lower-case, sorted, each once.
    pub signed_headers: Vec<String>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Authorization {
    /// Reads the header.
    ///
    /// # Errors
    /// `MissingAuthenticationTokenException` without a header, `IncompleteSignatureException` for one of
    /// another form, `InvalidSignatureException` for one of another region or service.
    pub fn parse(place: &Place, header: Option<&str>) -> Result<Self, KmsError> {
        let header =
            header.ok_or_else(|| KmsError::new(Kind::MissingAuthenticationToken, "Missing Authentication Token"))?;
        let parameters = header
            .strip_prefix(ALGORITHM)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| incomplete(format!("Unsupported AWS 'algorithm', only {ALGORITHM} is known here.")))?;
        let parameter = |name: &str| {
            let mut found = parameters.split(',').filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            match (found.next(), found.next()) {
                (Some(value), None) if !value.is_empty() => Ok(value),
                _ => Err(incomplete(format!("Authorization header requires '{name}' parameter."))),
            }
        };
        let mut scope = parameter("Credential")?.split('/');
        let [id, date, region, service, end] = [(); 5].map(|()| scope.next().unwrap_or_default());
        if !is_access_key_id(id) {
            return Err(incomplete("Authorization header requires an access key id in 'Credential'.".to_owned()));
        }
        let signature = hex::decode(parameter("Signature")?)
            .map_err(|_| incomplete("Authorization header requires a 'Signature' in hex.".to_owned()))?;
        let signed_headers = signed_headers(parameter("SignedHeaders")?)?;
        for (holds, text) in [
            (region == place.region(), format!("Credential should be scoped to a valid region, not '{region}'.")),
            (service == "kms", "Credential should be scoped to correct service: 'kms'.".to_owned()),
            (
                end == "aws4_request" && scope.next().is_none(),
                "Credential should be scoped with a valid terminator: 'aws4_request'.".to_owned(),
            ),
        ] {
            if !holds {
                return Err(KmsError::new(Kind::InvalidSignature, text));
            }
        }
        Ok(Self { access_key_id: id.to_owned(), date: date.to_owned(), signed_headers, signature })
    }
}

/// The names, which must be in the one order that a canonical request has.
fn signed_headers(text: &str) -> Result<Vec<String>, KmsError> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let is_sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    let is_lower = names.iter().all(|name| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    if names.len() > SIGNED_HEADERS_MAX || !is_sorted || !is_lower {
        return Err(incomplete("'SignedHeaders' must be lower-case, sorted, each once, and few.".to_owned()));
    }
    Ok(names)
}

pub(crate) fn incomplete(message: String) -> KmsError {
    KmsError::new(Kind::IncompleteSignature, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-central-1/kms/aws4_request, SignedHeaders=a;host, Signature=ab01";

    #[test]
    fn the_header_names_a_key_of_this_region() {
        let place = Place::new("eu-central-1", "111122223333").unwrap();
        let parse = |header: Option<&str>| Authorization::parse(&place, header);
        let read = parse(Some(GOOD)).unwrap();
        assert_eq!((read.access_key_id.as_str(), read.date.as_str()), ("AKID", "20261122"));
        assert_eq!((read.signed_headers.join(" ").as_str(), &read.signature[..]), ("a host", &[0xab, 1][..]));
        assert_eq!(parse(Some(&GOOD.replace(", ", ","))).unwrap(), read);
        assert!(parse(Some(&GOOD.replace("AKID", &"a".repeat(128)))).is_ok());
        for (header, kind) in [
            (None, Kind::MissingAuthenticationToken),
            (Some(""), Kind::IncompleteSignature),
            (Some("Bearer x"), Kind::IncompleteSignature),
            (Some("AWS4-HMAC-SHA256"), Kind::IncompleteSignature),
            (Some("AWS4-HMAC-SHA256 Credential="), Kind::IncompleteSignature),
            (Some(&GOOD.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256")), Kind::IncompleteSignature),
            (Some("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=ab"), Kind::IncompleteSignature),
            (Some(&GOOD.replace("AKID", "")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("AKID", "a:b")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("AKID", &"a".repeat(129))), Kind::IncompleteSignature),
            (Some(&GOOD.replace(", Signature=ab01", "")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("=ab01", "=")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("=ab01", "=ab0")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("=ab01", "=ab01, Signature=ab01")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("=a;host", "=")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("a;host", "host;a")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("a;host", "host;host")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("a;host", "a;Host")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("a;host", "host;")), Kind::IncompleteSignature),
            (Some(&GOOD.replace("eu-central-1", "us-east-1")), Kind::InvalidSignature),
            (Some(&GOOD.replace("/kms/", "/s3/")), Kind::InvalidSignature),
            (Some(&GOOD.replace("aws4_request", "aws4")), Kind::InvalidSignature),
            (Some(&GOOD.replace("aws4_request", "aws4_request/more")), Kind::InvalidSignature),
        ] {
            assert_eq!(parse(header).unwrap_err().kind, kind, "{header:?}");
        }
    }

    #[test]
    fn the_number_of_signed_headers_has_an_edge() {
        for (count, good) in [(SIGNED_HEADERS_MAX, true), (SIGNED_HEADERS_MAX + 1, false)] {
            let names: Vec<String> = (0..count).map(|number| format!("h{number:03}")).collect();
            assert_eq!(signed_headers(&names.join(";")).is_ok(), good);
        }
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
