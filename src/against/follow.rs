//! What a server says of a run while it runs, over its websocket.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use redraft_engine::cx::Cancel;
use serde_json::Value as Json;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use super::server::{Server, shortened};
use crate::exit::{Exit, Outcome, Stop};

const CONNECT: Duration = Duration::from_secs(10);
/// How long is waited for a message before it is looked whether to go on.
const GLANCE: Duration = Duration::from_millis(200);
/// The largest message: previews are pictures.
const MAX_MESSAGE: usize = 64 << 20;

pub(super) struct Followed {
    socket: WebSocket<TcpStream>,
}

impl Followed {
    /// Connects, before the run is handed in: messages for nobody are not sent.
    pub(super) fn open(server: &Server) -> Outcome<Self> {
        let unreachable = |error: String| {
            server.wrong(format!("cannot be reached ({error}); start ComfyUI there, or name another address"))
        };
        let host = &server.host;
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.clone() } else { format!("{host}:80") };
        let found = address.to_socket_addrs().map_err(|error| unreachable(error.to_string()))?;
        let mut stream = Err("no such host".to_owned());
        for address in found {
            stream = TcpStream::connect_timeout(&address, CONNECT).map_err(|error| error.to_string());
            if stream.is_ok() {
                break;
            }
        }
        let stream = stream.map_err(unreachable)?;
        stream.set_read_timeout(Some(CONNECT)).map_err(|error| unreachable(error.to_string()))?;
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MAX_MESSAGE);
        config.max_frame_size = Some(MAX_MESSAGE);
        let url = format!("ws://{host}/ws?clientId={}", server.client);
        let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .map_err(|error| unreachable(format!("its websocket: {error}")))?;
        socket.get_ref().set_read_timeout(Some(GLANCE)).map_err(|error| unreachable(error.to_string()))?;
        Ok(Self { socket })
    }

    /// Waits until a run is over.
    ///
    /// # Errors
    /// If a node fails there, the connection breaks, or it takes too long.
    pub(super) fn wait(&mut self, server: &Server, run: &str, patience: Duration, cancel: &Cancel) -> Outcome<()> {
        let start = Instant::now();
        loop {
            if cancel.is_raised() {
                return Err(Stop::new(Exit::Cancelled, "cancelled; the server may still be at work"));
            }
            if start.elapsed() > patience {
                let seconds = patience.as_secs();
                return Err(server.wrong(format!("is not done after {seconds} s; give it longer with --timeout")));
            }
            let text = match self.socket.read() {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(_)) => return Err(server.wrong("has closed the connection before the run was over")),
                Ok(_) => continue,
                Err(tungstenite::Error::Io(error)) if is_waiting(&error) => continue,
                Err(error) => return Err(server.wrong(format!("is gone before the run was over ({error})"))),
            };
            // Other servers send other messages, too.
            let Ok(message) = serde_json::from_str::<Json>(&text) else { continue };
            let data = &message["data"];
            if data["prompt_id"].as_str() != Some(run) {
                continue;
            }
            match message["type"].as_str().unwrap_or_default() {
                "execution_success" => return Ok(()),
                "executing" if data["node"].is_null() => return Ok(()),
                "execution_error" => return Err(failure(server, data)),
                "execution_interrupted" => {
                    return Err(Stop::new(Exit::NodeFailed, format!("{}: the run was interrupted there", server.host)));
                }
                _ => {}
            }
        }
    }
}

fn is_waiting(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

fn failure(server: &Server, data: &Json) -> Stop {
    let text = |name: &str| shortened(data[name].as_str().unwrap_or("?").trim());
    let (node, class) = (text("node_id"), text("node_type"));
    let why = format!("{}: {}", text("exception_type"), text("exception_message"));
    Stop::new(Exit::NodeFailed, format!("{}: node {node} ({class}) fails there: {why}", server.host))
}
