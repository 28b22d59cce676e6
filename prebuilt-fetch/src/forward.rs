//! Plain HTTP through a proxy: the request line has the whole address (RFC 9112, 3.2.2). The HTTP library
//! only knows tunnels (`CONNECT`), which proxies allow for TLS alone.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Makes requests to a proxy out of requests to the server behind it.
#[derive(Debug)]
pub struct Forward {
    /// Scheme and authority of the server.
    pub origin: String,
}

impl<In: Transport> Connector<In> for Forward {
    type Out = Forwarded<In>;

    fn connect(&self, _: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Forwarded { inner, origin: self.origin.clone() }))
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub struct Forwarded<In> {
    inner: In,
    origin: String,
}

/// Each request of ours begins so, and has no body.
const BEGIN: &[u8] = b"GET /";

impl<In: Transport> Transport for Forwarded<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let amount = amount + insert(self.inner.buffers().output(), amount, &self.origin)?;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Puts the origin before the path of a request that is to be sent; how many bytes that adds.
fn insert(output: &mut [u8], amount: usize, origin: &str) -> Result<usize, Error> {
    let (method, added) = (BEGIN.len() - 1, origin.len());
    if !output.get(..amount).is_some_and(|sent| sent.starts_with(BEGIN)) {
        return Ok(0);
    }
    let Some(sent) = output.get_mut(..amount + added) else {
        return Err(Error::Other("the request is too long".into()));
    };
    sent.copy_within(method..amount, method + added);
    sent[method..method + added].copy_from_slice(origin.as_bytes());
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_becomes_whole() {
        let mut buffer = *b"GET /a HTTP/1.1\r\n\r\n..............";
        let added = insert(&mut buffer, 19, "http://h").unwrap();
        assert_eq!(&buffer[..19 + added], b"GET http://h/a HTTP/1.1\r\n\r\n");
        assert_eq!(insert(&mut { *b"POST / HTTP/1.1" }, 15, "http://h").unwrap(), 0);
        assert!(insert(&mut { *b"GET /a" }, 6, "http://h").is_err());
    }
}
