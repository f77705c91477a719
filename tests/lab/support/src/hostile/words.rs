//! libvirt's protocol as a daemon speaks it: frames, and what is in them.

use std::io::Read;

use uuid::Uuid;

/// The program of calls and events.
pub const REMOTE: u32 = 0x2000_8086;
/// The program of PINGs and PONGs.
pub const KEEPALIVE: u32 = 0x6b65_6570;

/// Kinds of frames.
pub const CALL: u32 = 0;
pub const REPLY: u32 = 1;
pub const MESSAGE: u32 = 2;

/// The head of a frame, its length word included.
const HEAD: usize = 28;

/// A domain.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub uuid: Uuid,
}

/// A frame's body under construction.
#[derive(Debug, Default, Clone)]
pub struct Body(pub Vec<u8>);

impl Body {
    pub fn of(words: &[u32]) -> Body {
        words.iter().fold(Body::default(), |body, word| body.u32(*word))
    }

    pub fn u32(mut self, word: u32) -> Body {
        self.0.extend(word.to_be_bytes());
        self
    }

    pub fn u64(mut self, word: u64) -> Body {
        self.0.extend(word.to_be_bytes());
        self
    }

    pub fn text(self, text: &str) -> Body {
        self.bytes(text.as_bytes())
    }

    /// Bytes with their length in front, filled up to a multiple of four.
    pub fn bytes(self, bytes: &[u8]) -> Body {
        let mut body = self.u32(u32::try_from(bytes.len()).expect("a length"));
        body.0.extend(bytes);
        body.0.resize(body.0.len().next_multiple_of(4), 0);
        body
    }

    pub fn domain(self, domain: &Named) -> Body {
        let mut body = self.text(&domain.name);
        body.0.extend(domain.uuid.as_bytes());
        // Its id: it runs.
        body.u32(7)
    }

    /// A typed parameter with an unsigned long long.
    pub fn figure(self, name: &str, value: u64) -> Body {
        self.text(name).u32(4).u64(value)
    }

    /// A typed parameter with an int.
    pub fn int(self, name: &str, value: u32) -> Body {
        self.text(name).u32(1).u32(value)
    }

    /// A typed parameter with a text.
    pub fn word(self, name: &str, value: &str) -> Body {
        self.text(name).u32(7).text(value)
    }
}

/// A frame.
pub fn frame(program: u32, procedure: u32, kind: u32, serial: u32, status: u32, body: &Body) -> Vec<u8> {
    let length = u32::try_from(HEAD + body.0.len()).expect("a length");
    let mut frame = Body::of(&[length, program, 1, procedure, kind, serial, status]).0;
    frame.extend(&body.0);
    frame
}

/// A PING.
pub fn ping() -> Vec<u8> {
    frame(KEEPALIVE, 1, MESSAGE, 0, 0, &Body::default())
}

/// A domain's lifecycle event: `virDomainEventType` and its detail.
pub fn lifecycle(callback: u32, domain: &Named, event: u32, detail: u32) -> Vec<u8> {
    let body = Body::of(&[callback]).domain(domain).u32(event).u32(detail);
    frame(REMOTE, 318, MESSAGE, 0, 0, &body)
}

/// What a client has sent.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub program: u32,
    pub procedure: u32,
    pub serial: u32,
    /// The domain whose statistics are wanted.
    pub domain: Option<Uuid>,
}

impl Call {
    /// The next one.
    pub fn read(from: &mut impl Read) -> std::io::Result<Call> {
        let mut head = [0; HEAD];
        from.read_exact(&mut head)?;
        let word = |at: usize| u32::from_be_bytes(head[4 * at..4 * at + 4].try_into().expect("four bytes"));
        let mut rest = vec![0; (word(0) as usize).saturating_sub(HEAD)];
        from.read_exact(&mut rest)?;
        // One domain in a list: its name, and then its UUID.
        let domain = (word(3) == 344).then(|| {
            let name = u32::from_be_bytes(rest[4..8].try_into().expect("four bytes")) as usize;
            let at = 8 + name.next_multiple_of(4);
            Uuid::from_slice(&rest[at..at + 16]).expect("a UUID")
        });
        Ok(Call { program: word(1), procedure: word(3), serial: word(5), domain })
    }

    /// Its answer.
    pub fn reply(self, body: &Body) -> Vec<u8> {
        frame(REMOTE, self.procedure, REPLY, self.serial, 0, body)
    }
}
