//! Where a connection is in its requests, judged by the bytes that pass: just enough of HTTP/1.1 to
//! know whether the header of a request is still on its way.

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The header of a request is awaited, or has begun.
    Header,
    /// A request has arrived: its body may follow, and its answer.
    Request,
    /// Something else than requests one after the other: HTTP/2, or an upgraded connection.
    Tunnel,
}

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    phase: Phase,
    /// The first bytes of a header, which tell HTTP/2 apart.
    start: [u8; 3],
    /// How many bytes of the header have passed, line breaks before it not counted.
    length: usize,
    /// How many line breaks have passed with nothing between them.
    breaks: u8,
    /// Whether an answer to the present request has begun.
    answered: bool,
}

impl Framing {
    /// A new connection: it owes us a header.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Header,
            start: [0; 3],
            length: 0,
            breaks: 0,
            answered: false,
        }
    }

    /// What the connection is doing now.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes came from the client.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Request && self.answered && !bytes.is_empty() {
            *self = Self::new();
        }
        if self.phase == Phase::Header {
            for byte in bytes {
                if self.ends_header(*byte) {
                    let http2 = self.start == *b"PRI";
                    self.phase = if http2 { Phase::Tunnel } else { Phase::Request };
                    return;
                }
            }
        }
    }

    /// Bytes went to the client.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Request || self.answered || bytes.is_empty() {
            return;
        }
        if bytes.starts_with(b"HTTP/1.1 101") {
            self.phase = Phase::Tunnel;
        } else {
            // After `100 Continue` comes the body of the same request.
            self.answered = !bytes.starts_with(b"HTTP/1.1 100");
        }
    }

    fn ends_header(&mut self, byte: u8) -> bool {
        match byte {
            // Line breaks before a request are allowed, and are not the end of one.
            b'\r' | b'\n' if self.length == 0 => {}
            b'\r' => {}
            b'\n' => self.breaks += 1,
            _ => {
                if let Some(place) = self.start.get_mut(self.length) {
                    *place = byte;
                }
                self.length += 1;
                self.breaks = 0;
            }
        }
        self.breaks == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_with_an_empty_line_wherever_it_is_cut() {
        let request = b"\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for cut in 0..request.len() {
            let mut framing = Framing::new();
            framing.read(&request[..cut]);
            assert_eq!(framing.phase(), Phase::Header, "cut at {cut}");
            framing.read(&request[cut..]);
            assert_eq!(framing.phase(), Phase::Request, "cut at {cut}");
        }
    }

    #[test]
    fn the_next_request_owes_a_header_again() {
        let mut framing = Framing::new();

        framing.read(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
        framing.wrote(b"HTTP/1.1 100 Continue\r\n\r\n");
        framing.read(b"the body");
        assert_eq!(framing.phase(), Phase::Request);

        framing.wrote(b"HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(framing.phase(), Phase::Request);
        framing.read(b"GE");
        assert_eq!(framing.phase(), Phase::Header);
        framing.read(b"T / HTTP/1.1\n\n");
        assert_eq!(framing.phase(), Phase::Request);
    }

    #[test]
    fn other_protocols_are_left_alone() {
        let mut http2 = Framing::new();
        http2.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(http2.phase(), Phase::Tunnel);

        let mut upgraded = Framing::new();
        upgraded.read(b"GET / HTTP/1.1\r\n\r\n");
        upgraded.wrote(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
        upgraded.read(b"frames");
        assert_eq!(upgraded.phase(), Phase::Tunnel);
    }
}
