// SPDX-License-Identifier: GPL-2.0-or-later
//! Metrics over HTTP, for `--listen`.
//!
//! Owns the little of HTTP that a scraper needs. Called by `main` with what makes the text. Must not
//! answer anything but GET /metrics, nor wait for a client for long.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longest request that is read.
const REQUEST_MAX: usize = 8 * 1024;
/// Longest wait for a client.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until something breaks. `make` is called for each request.
pub(crate) fn serve(listener: &TcpListener, make: &dyn Fn() -> String) -> io::Result<()> {
    for client in listener.incoming() {
        // A client that breaks off is its own problem.
        let _ = client.and_then(|client| answer(client, make));
    }
    Ok(())
}

fn answer(mut client: TcpStream, make: &dyn Fn() -> String) -> io::Result<()> {
    client.set_read_timeout(Some(TIMEOUT))?;
    client.set_write_timeout(Some(TIMEOUT))?;
    let begun = Instant::now();
    let mut request = Vec::new();
    let mut room = [0; 1024];
    let (status, body) = loop {
        if request.windows(4).any(|end| end == b"\r\n\r\n") {
            break match request_target(&request) {
                Some("/metrics") => ("200 OK", make()),
                Some(_) => ("404 Not Found", "only /metrics is here\n".to_owned()),
                None => ("400 Bad Request", "only GET is answered\n".to_owned()),
            };
        }
        if request.len() > REQUEST_MAX || begun.elapsed() > TIMEOUT {
            break ("400 Bad Request", "too long\n".to_owned());
        }
        match client.read(&mut room)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&room[..count]),
        }
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// What a GET asks for.
fn request_target(request: &[u8]) -> Option<&str> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("GET ")?;
    let (target, version) = rest.split_once(' ')?;
    version
        .starts_with("HTTP/1.")
        .then(|| target.split('?').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_get_metrics_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ask = |request: &str| {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            let (server, _) = listener.accept().unwrap();
            answer(server, &|| "body\n".to_owned()).unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            text
        };
        assert!(ask("GET /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\nbody\n"));
        assert!(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(ask("garbage\r\n\r\n").starts_with("HTTP/1.1 400"));
    }
}
