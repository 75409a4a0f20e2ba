//! A receiver of webhooks that answers as it is told to, and checks what it is sent by itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::support::until;

/// A secret, and its bytes.
pub fn secret(byte: u8) -> (String, Vec<u8>) {
    let key = vec![byte; 32];
    (format!("whsec_{}", STANDARD.encode(&key)), key)
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub path: String,
    head: String,
    pub body: String,
}

/// What a receiver does with a request.
pub enum Reaction {
    /// It answers with a status, and more headers.
    Status(u16, &'static str),
    /// It says nothing.
    Hangs,
    /// It answers 200, and never stops.
    Endless,
    /// It never comes to the end of the head.
    EndlessHead,
}

/// Somebody who listens.
pub struct Receiver {
    pub address: String,
    got: Arc<Mutex<Vec<Delivery>>>,
}

impl Receiver {
    /// Takes everything.
    pub fn new() -> Self {
        Self::with(|_, _| Reaction::Status(204, ""))
    }

    /// Does with each request what this says of it and of how many came before.
    pub fn with(react: impl Fn(usize, &Delivery) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (got, react) = (Arc::new(Mutex::new(Vec::new())), Arc::new(react));
        let receiver = Self { address, got: Arc::clone(&got) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (got, react) = (Arc::clone(&got), Arc::clone(&react));
                std::thread::spawn(move || {
                    // Who sends may go away.
                    let _ = receive(stream, &got, &*react);
                });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/host", self.address)
    }

    pub fn all(&self) -> Vec<Delivery> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many requests came, and gives them.
    pub fn first(&self, count: usize) -> Vec<Delivery> {
        until(&format!("{count} deliveries come"), || {
            let all = self.all();
            (all.len() >= count).then(|| all[..count].to_vec())
        })
    }

    /// Waits for a delivery of this type about a run.
    pub fn told(&self, kind: &str, run: &str) -> Delivery {
        until(&format!("{kind} of {run} is told"), || {
            self.all().into_iter().find(|it| it.json()["type"] == kind && it.json()["data"]["run"] == run)
        })
    }
}

fn receive(
    stream: TcpStream,
    got: &Mutex<Vec<Delivery>>,
    react: &dyn Fn(usize, &Delivery) -> Reaction,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let delivery = Delivery { path: head.split(' ').nth(1).unwrap().to_owned(), head, body: String::new() };
    let mut body = vec![0; delivery.header("content-length").parse().unwrap()];
    reader.read_exact(&mut body)?;
    let delivery = Delivery { body: String::from_utf8(body).unwrap(), ..delivery };
    let before = {
        let mut got = got.lock().unwrap();
        got.push(delivery.clone());
        got.len() - 1
    };
    let mut stream = stream;
    match react(before, &delivery) {
        Reaction::Status(status, headers) => {
            write!(stream, "HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
        }
        // Until the other side goes away.
        Reaction::Hangs => reader.read_to_end(&mut Vec::new()).map(drop),
        Reaction::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                write!(stream, "400\r\n{}\r\n", "x".repeat(0x400))?;
            }
        }
        Reaction::EndlessHead => {
            write!(stream, "HTTP/1.1 200 OK\r\n")?;
            loop {
                write!(stream, "x-more: {}\r\n", "x".repeat(0x400))?;
            }
        }
    }
}

impl Delivery {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("{name} is in {}", self.head))
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Each of these keys has signed it, in this order, and no other one.
    #[track_caller]
    pub fn is_signed_by(&self, keys: &[&[u8]]) {
        let signatures: Vec<&str> = self.header("webhook-signature").split(' ').collect();
        assert_eq!(signatures.len(), keys.len());
        for (signature, key) in signatures.iter().zip(keys) {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            let signed = [self.id(), self.header("webhook-timestamp"), &self.body].join(".");
            mac.update(signed.as_bytes());
            assert_eq!(*signature, format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
        }
    }
}
