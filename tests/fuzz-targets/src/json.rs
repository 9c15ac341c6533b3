//! JSON (RFC 8259) read in the plainest way: members in their order, twice where they come twice.

/// A value. Of numbers only the fact is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number,
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The value that takes all of `text`.
pub(crate) fn whole(text: &[u8]) -> Option<Json> {
    let mut reader = Reader(std::str::from_utf8(text).ok()?.as_bytes());
    let value = reader.value(128)?;
    reader.space();
    reader.0.is_empty().then_some(value)
}

impl Json {
    /// The member of this name, where there is exactly one.
    pub(crate) fn only(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        let mut found = members.iter().filter(|(key, _)| key == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(self, Json::Object(members) if members.iter().any(|(key, _)| key == name))
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        let depth = depth.checked_sub(1)?;
        self.space();
        match self.0.first()? {
            b'n' => self.take(b"null").map(|()| Json::Null),
            b't' => self.take(b"true").map(|()| Json::Bool(true)),
            b'f' => self.take(b"false").map(|()| Json::Bool(false)),
            b'"' => self.string().map(Json::Text),
            b'[' => self.list(b']', |reader| reader.value(depth)).map(Json::Array),
            b'{' => self
                .list(b'}', |reader| {
                    reader.space();
                    let key = reader.string()?;
                    reader.space();
                    reader.take(b":")?;
                    Some((key, reader.value(depth)?))
                })
                .map(Json::Object),
            _ => self.number(),
        }
    }

    /// What stands between brackets, with commas between.
    fn list<T>(&mut self, end: u8, mut entry: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.0 = &self.0[1..];
        let mut entries = Vec::new();
        self.space();
        if self.take(&[end]).is_some() {
            return Some(entries);
        }
        loop {
            entries.push(entry(self)?);
            self.space();
            if self.take(&[end]).is_some() {
                return Some(entries);
            }
            self.take(b",")?;
        }
    }

    fn number(&mut self) -> Option<Json> {
        let _ = self.take(b"-");
        let leading_zero = self.0.first() == Some(&b'0');
        let digits = self.digits()?;
        if leading_zero && digits > 1 {
            return None;
        }
        if self.take(b".").is_some() {
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.0 {
            self.0 = rest;
            let _ = self.take(b"+").or_else(|| self.take(b"-"));
            self.digits()?;
        }
        Some(Json::Number)
    }

    fn digits(&mut self) -> Option<usize> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 = &self.0[count..];
        (count > 0).then_some(count)
    }

    fn string(&mut self) -> Option<String> {
        self.take(b"\"")?;
        let mut out = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return String::from_utf8(out).ok(),
                b'\\' => out.extend(self.escape()?.to_string().bytes()),
                0..=0x1f => return None,
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex4()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high);
                }
                self.take(b"\\u")?;
                let low = self.hex4()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x10000 + ((high - 0xd800) << 10) + low);
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    }
}
