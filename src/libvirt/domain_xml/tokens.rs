//! Elements, attributes and text of XML, all bounded; only XML's own entities are expanded.

use std::borrow::Cow;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::errors::SyntaxError;
use quick_xml::escape;
use quick_xml::events::{BytesStart, Event};

use super::error::XmlError;
use super::limits::{
    LONGEST_FOUND, LONGEST_REASON, LONGEST_VALUE, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_LENGTH,
};

/// Reads a document from its beginning.
///
/// Every element that [`child`](Self::child) returns must be finished with [`skip`](Self::skip), [`text`](Self::text)
/// or by reading its children up to `None`.
pub(super) struct Tokens<'a> {
    reader: Reader<&'a [u8]>,
    depth: u32,
    elements: u32,
}

enum Token<'a> {
    Open(BytesStart<'a>),
    Close,
    /// A piece of text; `None` for a reference to something that XML itself does not define.
    Text(Option<Cow<'a, str>>),
}

impl<'a> Tokens<'a> {
    pub(super) fn new(xml: &'a str) -> Result<Self, XmlError> {
        if xml.len() > MAX_LENGTH {
            return Err(XmlError::TooLong { length: xml.len(), limit: MAX_LENGTH });
        }
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, depth: 0, elements: 0 })
    }

    /// The root, if it has this name.
    pub(super) fn root(&mut self, name: &str) -> Result<BytesStart<'a>, XmlError> {
        let found = loop {
            match self.next()? {
                Token::Open(element) if element.name().as_ref() == name => return Ok(element),
                Token::Open(element) => break element.name().as_ref().chars().take(LONGEST_FOUND).collect(),
                Token::Text(Some(text)) if text.trim().is_empty() => {}
                Token::Text(_) | Token::Close => break String::from("text"),
            }
        };
        Err(XmlError::Root { found })
    }

    /// The next element in the current one; `None` at the current one's end.
    pub(super) fn child(&mut self) -> Result<Option<BytesStart<'a>>, XmlError> {
        loop {
            match self.next()? {
                Token::Open(element) => return Ok(Some(element)),
                Token::Close => return Ok(None),
                Token::Text(_) => {}
            }
        }
    }

    /// Goes past the end of the current element.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.next()?;
        }
        Ok(())
    }

    /// Returns the trimmed text of the current element and goes past its end. `None` if it is empty or too long, or if
    /// it holds elements or references that XML itself does not define.
    pub(super) fn text(&mut self) -> Result<Option<Arc<str>>, XmlError> {
        let mut text = String::new();
        let mut whole = true;
        loop {
            match self.next()? {
                Token::Close => return Ok(if whole { value(text.trim()) } else { None }),
                Token::Text(Some(piece)) if piece.len() <= LONGEST_VALUE - text.len().min(LONGEST_VALUE) => {
                    text.push_str(&piece);
                }
                Token::Text(_) => whole = false,
                Token::Open(_) => {
                    whole = false;
                    self.skip()?;
                }
            }
        }
    }

    /// Gives each attribute's name and value to `take`. Values that are too long or refer to something that XML
    /// itself does not define are left out.
    pub(super) fn attributes(
        &self,
        element: &BytesStart<'_>,
        mut take: impl FnMut(&str, &str),
    ) -> Result<(), XmlError> {
        // `Attributes` rejects duplicate attributes.
        for (index, attribute) in element.attributes().enumerate() {
            if index >= MAX_ATTRIBUTES {
                return Err(XmlError::TooManyAttributes);
            }
            let attribute = attribute.map_err(|error| self.not_well_formed(&error.into()))?;
            if attribute.value.len() <= LONGEST_VALUE
                && let Ok(value) = escape::unescape(&attribute.value)
            {
                take(attribute.key.as_ref(), &value);
            }
        }
        Ok(())
    }

    /// One attribute of an element.
    pub(super) fn attribute(&self, element: &BytesStart<'_>, wanted: &str) -> Result<Option<Arc<str>>, XmlError> {
        let mut found = None;
        self.attributes(element, |name, text| {
            if name == wanted {
                found = value(text);
            }
        })?;
        Ok(found)
    }

    fn next(&mut self) -> Result<Token<'a>, XmlError> {
        loop {
            let event = match self.reader.read_event() {
                Ok(event) => event,
                Err(error) => return Err(self.not_well_formed(&error)),
            };
            return Ok(match event {
                Event::Start(element) => {
                    self.depth += 1;
                    self.elements += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(XmlError::TooDeep);
                    }
                    if self.elements > MAX_ELEMENTS {
                        return Err(XmlError::TooManyElements);
                    }
                    Token::Open(element)
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Token::Close
                }
                Event::Text(text) => Token::Text(Some(text.into_inner())),
                Event::CData(text) => Token::Text(Some(text.into_inner())),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => Token::Text(Some(Cow::Owned(character.to_string()))),
                    Ok(None) => Token::Text(escape::resolve_xml_entity(&reference).map(Cow::Borrowed)),
                    Err(_) => Token::Text(None),
                },
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Eof => return Err(XmlError::Truncated { position: self.reader.buffer_position() }),
                // `Empty` cannot occur: the reader expands such elements.
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Empty(_) => continue,
            });
        }
    }

    fn not_well_formed(&self, error: &quick_xml::Error) -> XmlError {
        let position = self.reader.buffer_position();
        match error {
            // Every other syntax error means that the document ends too early.
            quick_xml::Error::Syntax(rule) if *rule != SyntaxError::InvalidBangMarkup => {
                XmlError::Truncated { position }
            }
            error => {
                let reason = error.to_string().chars().take(LONGEST_REASON).collect();
                XmlError::NotWellFormed { position, reason }
            }
        }
    }
}

/// A value worth keeping: not empty, not too long.
pub(super) fn value(text: &str) -> Option<Arc<str>> {
    (!text.is_empty() && text.len() <= LONGEST_VALUE).then(|| Arc::from(text))
}
