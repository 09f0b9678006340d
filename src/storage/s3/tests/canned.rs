//! A server that answers what a test wants: what a real one cannot be brought to say.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    headers: HashMap<String, String>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Bytes after which the connection is cut off, or hangs.
    pub(super) cut: Option<usize>,
    pub(super) hang: bool,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            hang: false,
        }
    }

    /// An error as S3 writes it.
    pub(super) fn error(status: u16, code: &str, more: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>of the server</Message>{more}</Error>");
        Self::new(status, body).with("content-type", "application/xml")
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Answers every request with what `reply` makes of it, until the process ends; returns the endpoint.
pub(super) fn serve(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> String {
    let reply = Arc::new(reply);
    accept(move |connection| {
        let mut lines = BufReader::new(connection);
        while let Some(request) = receive(&mut lines) {
            if !send(lines.get_mut(), &request, reply(&request)) {
                break;
            }
        }
    })
}

/// Hands every connection to a thread of its own; returns the endpoint.
pub(super) fn accept(talk: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let talk = Arc::new(talk);
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            // Head and body are written one after the other.
            connection.set_nodelay(true).unwrap();
            let talk = talk.clone();
            std::thread::spawn(move || talk(connection));
        }
    });
    endpoint
}

fn receive(lines: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    lines.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
    Some(Request {
        method,
        target,
        headers,
    })
}

/// False when the connection is not to be used again.
fn send(connection: &mut TcpStream, request: &Request, reply: Reply) -> bool {
    let mut head = format!(
        "HTTP/1.1 {} Canned\r\ncontent-length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let body = if request.method == "HEAD" { &[][..] } else { &reply.body };
    let sent = &body[..reply.cut.unwrap_or(body.len()).min(body.len())];
    let written = connection
        .write_all(format!("{head}\r\n").as_bytes())
        .and_then(|()| connection.write_all(sent))
        .is_ok();
    if reply.hang {
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
    written && sent.len() == body.len()
}
