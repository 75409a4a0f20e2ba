//! A service that speaks TLS, with a certificate that nobody trusts unless told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

/// Answers every request with the same body, and says what it was asked.
pub(crate) struct Secure {
    pub(crate) port: u16,
    pub(crate) certificate: String,
    /// The name that the client asked for, and the head of its request.
    pub(crate) requests: Receiver<String>,
}

impl Secure {
    pub(crate) fn start(name: &str, body: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (said, requests) = channel();
        let length = body.len();
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that breaks off has said nothing.
                let _ = answer(stream, &config, &reply).map(|request| said.send(request));
            }
        });
        Self { port, certificate: made.cert.pem(), requests }
    }
}

fn answer(mut stream: TcpStream, config: &Arc<ServerConfig>, reply: &str) -> std::io::Result<String> {
    let mut connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut request = String::new();
    let mut reader = BufReader::new(Stream::new(&mut connection, &mut stream));
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let told = request
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    std::io::copy(&mut reader.by_ref().take(told.unwrap_or(0)), &mut std::io::sink())?;
    reader.get_mut().write_all(reply.as_bytes())?;
    let name = connection.server_name().unwrap_or("(no name)");
    Ok(format!("{name} {request}"))
}
