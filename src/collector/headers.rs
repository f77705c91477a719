//! Headers of requests.

use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};

/// Headers of gRPC requests. Their values are credentials more often than not: they are never printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>);

/// Why a header cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct BadHeader {
    /// Its name. The value may be a secret.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Headers {
    /// These headers, their names in lower case.
    ///
    /// # Errors
    ///
    /// When one has a name or a value that a request cannot carry, or a name that gRPC reserves.
    pub fn new(pairs: Vec<(String, String)>) -> Result<Self, BadHeader> {
        pairs.into_iter().map(|(name, value)| header(&name, &value)).collect::<Result<_, _>>().map(Self)
    }

    /// The headers that a file holds: `name: value`, one a line, the value as it is sent. Blank lines and those that
    /// begin with `#` do not count.
    ///
    /// What is wrong is told by the line's number: any part of the line may be a secret.
    pub(super) fn from_file(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let mut headers = Self::default();
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        for (line, number) in lines.zip(1_u32..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("line {number} has no colon"))?;
            let (name, value) = header(name.trim_end(), value.trim_start())
                .map_err(|bad| format!("the header of line {number} {}", bad.problem))?;
            if headers.0.iter().any(|(other, _)| *other == name) {
                return Err(format!("line {number} gives a header for the second time"));
            }
            headers.0.push((name, value));
        }
        if headers.0.is_empty() { Err("it holds no header".to_owned()) } else { Ok(headers) }
    }

    /// These headers and others, which beat those of the same name.
    #[must_use]
    pub(super) fn with(&self, others: &Self) -> Self {
        let others = &others.0;
        let beaten = |name: &MetadataKey<Ascii>| others.iter().any(|(other, _)| other == name);
        Self(self.0.iter().filter(|(name, _)| !beaten(name)).chain(others).cloned().collect())
    }

    /// Adds them to those of a request.
    pub fn add_to(&self, metadata: &mut MetadataMap) {
        for (name, value) in &self.0 {
            metadata.insert(name.clone(), value.clone());
        }
    }
}

fn header(name: &str, value: &str) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), BadHeader> {
    let name = name.to_ascii_lowercase();
    let wrong = |problem| BadHeader { name: name.clone(), problem };
    if name.ends_with("-bin") || name.starts_with("grpc-") || name.starts_with(':') {
        return Err(wrong("is reserved by gRPC"));
    }
    let key = MetadataKey::from_bytes(name.as_bytes()).map_err(|_| wrong("has a name that HTTP does not allow"))?;
    let mut value = MetadataValue::try_from(value).map_err(|_| wrong("has a value that HTTP does not allow"))?;
    value.set_sensitive(true);
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str, value: &str) -> Result<Headers, BadHeader> {
        Headers::new(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused_without_their_value() {
        for (name, value) in
            [("a b", "secret"), ("a", "secret\nbreak"), ("grpc-timeout", "secret"), ("key-bin", "secret")]
        {
            let error = headers(name, value).unwrap_err();
            assert_eq!(error.name, name);
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn headers_are_sent_with_names_in_lower_case() {
        let mut metadata = MetadataMap::new();
        headers("X-Token", "1").unwrap().add_to(&mut metadata);
        assert_eq!(metadata.get("x-token").unwrap(), "1");
    }

    #[test]
    fn a_file_has_a_header_a_line_with_its_value_as_it_is_sent() {
        let text = "\u{feff}# by the vault\r\n\r\n  Authorization :  Bearer a%20b=,c:d \r\nx-scope: a\n\n#x-old: 1\nx-empty:\n";
        let pairs = [("authorization", "Bearer a%20b=,c:d"), ("x-scope", "a"), ("x-empty", "")];
        let expected = Headers::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()).unwrap();
        assert_eq!(Headers::from_file(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_wrong_file_of_headers_is_told_by_the_line_and_never_by_what_it_holds() {
        for (text, problem) in [
            ("", "no header"),
            ("# only this\n\n", "no header"),
            ("x-a: 1\nsecret\n", "line 2 has no colon"),
            ("authorization=Bearer secret", "line 1 has no colon"),
            ("se cret: secret", "line 1 has a name"),
            (": secret", "line 1 has a name"),
            ("\n\nsecret-bin: secret", "line 3 is reserved"),
            ("x-a: secret\u{1}", "line 1 has a value"),
            ("x-a: s\u{e4}secret\u{7f}", "line 1 has a value"),
            ("x-a: 1\nX-A: secret", "line 2 gives a header for the second time"),
        ] {
            let said = Headers::from_file(text.as_bytes()).unwrap_err();
            assert!(said.contains(problem), "{text:?}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        assert_eq!(Headers::from_file(b"x: \xff").unwrap_err(), "it is not UTF-8 text");
    }

    #[test]
    fn headers_of_a_file_beat_others_of_the_same_name_and_leave_the_rest() {
        let given = Headers::new(vec![("a".into(), "1".into()), ("b".into(), "2".into())]).unwrap();
        let file = Headers::from_file(b"B: 3\nc: 4").unwrap();
        let expected =
            Headers::new(vec![("a".into(), "1".into()), ("b".into(), "3".into()), ("c".into(), "4".into())]).unwrap();
        assert_eq!(given.with(&file), expected);
    }
}
