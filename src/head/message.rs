use bytes::Bytes;
use http::{Extensions, Method, StatusCode, Uri, Version};

use super::headers::Headers;

/// A request.
#[derive(Debug)]
pub struct Request<B> {
    // Boxed: a request is handed through every step of its handling, and each would move the whole of it.
    parts: Box<RequestParts>,
    body: B,
}

/// What a request's head says.
#[derive(Debug)]
pub struct RequestParts {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version that it came by, or is to be sent by.
    pub version: Version,
    /// The fields.
    pub headers: Headers,
    /// More fields, as whole lines of HTTP/1.1 with their ends: what is the same for many requests is written once.
    pub lines: Bytes,
    /// What else is noted of it.
    pub extensions: Extensions,
}

/// A response.
#[derive(Debug)]
pub struct Response<B> {
    parts: ResponseParts,
    body: B,
}

/// What a response's head says.
#[derive(Debug)]
pub struct ResponseParts {
    /// The status.
    pub status: StatusCode,
    /// The version that it came by, or is to be sent by.
    pub version: Version,
    /// The fields.
    pub headers: Headers,
    /// What else is noted of it.
    pub extensions: Extensions,
}

impl RequestParts {
    /// Parts of which nothing else is noted.
    #[must_use]
    pub fn new(method: Method, uri: Uri, version: Version, headers: Headers) -> Self {
        Self { method, uri, version, headers, lines: Bytes::new(), extensions: Extensions::new() }
    }
}

impl ResponseParts {
    /// Parts of which nothing else is noted.
    #[must_use]
    pub fn new(status: StatusCode, version: Version, headers: Headers) -> Self {
        Self { status, version, headers, extensions: Extensions::new() }
    }
}

impl<B> Request<B> {
    /// A request of these parts.
    #[must_use]
    pub const fn from_parts(parts: Box<RequestParts>, body: B) -> Self {
        Self { parts, body }
    }

    /// Takes it apart.
    #[must_use]
    pub fn into_parts(self) -> (Box<RequestParts>, B) {
        (self.parts, self.body)
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The method, to change it.
    pub const fn method_mut(&mut self) -> &mut Method {
        &mut self.parts.method
    }

    /// The target.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.parts.version
    }

    /// The fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The fields, to change them.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.parts.headers
    }

    /// What else is noted of it.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// What else is noted of it, to note more.
    pub const fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.parts.extensions
    }

    /// The body, to read it.
    pub const fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }
}

impl<B> Response<B> {
    /// A response of these parts.
    #[must_use]
    pub const fn from_parts(parts: ResponseParts, body: B) -> Self {
        Self { parts, body }
    }

    /// Takes it apart.
    #[must_use]
    pub fn into_parts(self) -> (ResponseParts, B) {
        (self.parts, self.body)
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The status, to change it.
    pub const fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.parts.status
    }

    /// The fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The fields, to change them.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.parts.headers
    }

    /// What else is noted of it.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.parts.extensions
    }

    /// The body, to change it.
    pub const fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }
}

impl From<http::request::Parts> for RequestParts {
    fn from(parts: http::request::Parts) -> Self {
        let http::request::Parts { method, uri, version, headers, extensions, .. } = parts;
        Self { method, uri, version, headers: headers.into(), lines: Bytes::new(), extensions }
    }
}

impl From<http::response::Parts> for ResponseParts {
    fn from(parts: http::response::Parts) -> Self {
        let http::response::Parts { status, version, headers, extensions, .. } = parts;
        Self { status, version, headers: headers.into(), extensions }
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts: Box::new(parts.into()), body }
    }
}
