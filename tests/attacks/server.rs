//! A service on loopback that attacks talk to: it counts, echoes, redirects, dawdles and never ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A running server. Its thread ends with the test's process.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    /// With the place of their connections in the order in which those were made.
    requests: Arc<Mutex<BTreeMap<usize, String>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for (place, stream) in listener.incoming().flatten().enumerate() {
                let serving = serving.clone();
                std::thread::spawn(move || drop(serving.serve(place, stream)));
            }
        });
        server
    }

    /// An address where nobody listens.
    pub fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { address: listener.local_addr().unwrap(), requests: Arc::default() }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far, head and body, in the order in which their connections were made: what was sent by
    /// a process before it was killed stands before what others sent after that, however late it was read.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().values().cloned().collect()
    }

    fn serve(&self, place: usize, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                // Broken off in the middle: this was no request.
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            head.push_str(&line);
        }
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if chunked {
            // A body without an announced length is read until it ends or breaks off.
            let mut last = Vec::new();
            while !last.ends_with(b"0\r\n\r\n") {
                let piece = reader.fill_buf()?.to_vec();
                if piece.is_empty() {
                    break;
                }
                reader.consume(piece.len());
                body.extend(&piece);
                last = body[body.len().saturating_sub(5)..].to_vec();
            }
        }
        let said = format!("{head}\r\n{}", String::from_utf8_lossy(&body));
        self.requests.lock().unwrap().insert(place, said.clone());
        let path = head.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/").to_owned();
        let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
        match path.as_str() {
            "/allowed/slow" => {
                write!(stream, "{ok}Content-Length: 1000000\r\n\r\n")?;
                loop {
                    stream.write_all(b"x")?;
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            // Whoever asks first waits for ever.
            "/allowed/first-hangs" if self.requests.lock().unwrap().len() == 1 => loop {
                std::thread::sleep(Duration::from_mins(1));
            },
            "/allowed/endless" => {
                write!(stream, "{ok}\r\n")?;
                loop {
                    stream.write_all(&[b'x'; 16 * 1024])?;
                }
            }
            "/allowed/encoded" => {
                write!(stream, "{ok}\r\n")?;
                let all: Vec<String> = encodings(echo(&said)).into_iter().map(|(_, text)| text).collect();
                for piece in all.join("\n").as_bytes().chunks(11) {
                    stream.write_all(piece)?;
                    stream.flush()?;
                }
                Ok(())
            }
            "/allowed/redirect" => {
                let port = self.port();
                let to = format!("Location: http://localhost:{port}/elsewhere\r\nContent-Length: 0\r\n\r\n");
                write!(stream, "HTTP/1.1 302 Found\r\nConnection: close\r\n{to}")
            }
            _ => {
                write!(stream, "{ok}X-Echo: {}\r\nContent-Length: {}\r\n\r\n{said}", echo(&said), said.len())
            }
        }
    }
}

/// A text as services, encoders and libraries that leave other characters alone than the host write it.
pub fn encodings(text: &str) -> Vec<(&'static str, String)> {
    let each = |form: &dyn Fn(char) -> String| text.chars().map(form).collect::<String>();
    let percent =
        |c: char| c.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let url = each(&|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_string() } else { percent(c) });
    let lines = |base64: String, line: usize, with: &str| {
        let lines = base64.as_bytes().chunks(line).map(|line| str::from_utf8(line).unwrap());
        lines.collect::<Vec<_>>().join(with)
    };
    vec![
        ("as of a URL", url.clone()),
        ("as of a form", url.replace("%20", "+")),
        ("as of a path", each(&|c| if "/+\"".contains(c) { percent(c) } else { c.to_string() })),
        ("every byte by percent", each(&percent)),
        ("every byte by percent, in small letters", each(&percent).to_lowercase()),
        ("by percent twice", url.replace('%', "%25")),
        ("as PHP writes JSON", json(text).replace('/', "\\/")),
        ("every character by JSON", each(&|c| format!("\\u{:04x}", u32::from(c)))),
        ("JSON in JSON", json(&json(text).replace('/', "\\/"))),
        ("a URL in JSON", json(&url).replace('%', "\\u0025")),
        (
            "as of HTML",
            each(&|c| if "/\"+-".contains(c) { format!("&#{};", u32::from(c)) } else { c.to_string() }),
        ),
        ("every character by HTML", each(&|c| format!("&#x{:X};", u32::from(c)))),
        ("HTML in JSON", json(&text.replace('"', "&quot;").replace('/', "&sol;")).replace('&', "\\u0026")),
        ("in base64 with line breaks", lines(STANDARD.encode(text), 76, "\r\n")),
        ("in base64 of JSON", json(&lines(STANDARD.encode(text), 11, "\n"))),
        ("in base64 for URLs", URL_SAFE_NO_PAD.encode(text)),
        (
            "in hex",
            lines(text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat(), 32, "\n"),
        ),
    ]
}

/// The credentials of a request, as a header.
fn echo(said: &str) -> &str {
    said.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none")
}
