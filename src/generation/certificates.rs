use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::Source;
use super::coverage::{self, Coverage};
use crate::config::{
    self, CertificateFiles, Config, FAULTS_MAX, Fault, Faults, Located, Place, Tls as TlsConfig, TlsServer, TlsUpstream,
};
use crate::handler::PoolClass;
use crate::name::HostPattern;
use crate::outcome::with_causes;
use crate::route::{Protocol, TlsVersion};
use crate::tls::{
    Authorities, Certificate, CertificateError, CertificateSource, CertificateStore, ClientAuth, ClientParameters,
    ClientPolicy, ServerParameters, ServerPolicy, SystemAuthorities, TargetName, Verification,
};

/// What makes two policies towards clients the same within one generation.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ServerKey {
    certificate: CertificateKey,
    min_version: TlsVersion,
    client_auth: ClientAuthKey,
    alpn: Vec<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum CertificateKey {
    Store,
    Files(PathBuf, PathBuf),
    SelfSigned(Vec<HostPattern>),
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum ClientAuthKey {
    None,
    Optional(PathBuf),
    Required(PathBuf),
}

impl ServerKey {
    fn new(server: &TlsServer, route: &config::Route) -> Self {
        let certificate = match &server.certificate {
            config::Certificate::FromCertificates => CertificateKey::Store,
            config::Certificate::Files(files) => {
                CertificateKey::Files(files.certificate.value.clone(), files.key.value.clone())
            }
            config::Certificate::SelfSigned => CertificateKey::SelfSigned(route.rule.domains.clone()),
        };
        let client_auth = match &server.client_auth {
            config::ClientAuth::None => ClientAuthKey::None,
            config::ClientAuth::Optional(file) => ClientAuthKey::Optional(file.value.clone()),
            config::ClientAuth::Required(file) => ClientAuthKey::Required(file.value.clone()),
        };
        let alpn = match route.rule.protocol {
            Protocol::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            // Decrypted bytes are relayed untouched: the client gets the protocol that the route was matched by.
            Protocol::Tcp => route.rule.alpn.iter().map(|protocol| protocol.to_vec()).collect(),
        };
        Self { certificate, min_version: server.min_version, client_auth, alpn }
    }
}

/// The TLS of one generation while it is assembled: every file is read once, every policy made once.
pub(super) struct Tls<'a> {
    pub(super) config: &'a Config,
    pub(super) source: &'a Source,
    system: SystemAuthorities,
    store: Arc<CertificateStore>,
    files: HashMap<(PathBuf, PathBuf), Option<Arc<Certificate>>>,
    authorities: HashMap<PathBuf, Option<Authorities>>,
    servers: HashMap<ServerKey, Option<Arc<ServerPolicy>>>,
    /// What the store covers; `None` if one of its certificates could not be had.
    covered: Option<Coverage>,
    /// What is right, and not what it should be.
    warnings: Vec<String>,
    faults: Vec<Fault>,
    /// More faults, which are only counted.
    omitted: usize,
}

impl<'a> Tls<'a> {
    /// Reads `[[certificates]]`.
    pub(super) fn new(config: &'a Config, source: &'a Source) -> Self {
        let mut tls = Self {
            config,
            source,
            system: SystemAuthorities::new(),
            store: Arc::new(CertificateStore::new(Vec::new())),
            files: HashMap::new(),
            authorities: HashMap::new(),
            servers: HashMap::new(),
            covered: None,
            warnings: Vec::new(),
            faults: Vec::new(),
            omitted: 0,
        };
        let certificates: Vec<_> = config.certificates.iter().filter_map(|files| tls.certificate(files)).collect();
        if certificates.len() == config.certificates.len() {
            tls.covered = Some(Coverage::new(certificates.iter().flat_map(|certificate| certificate.names())));
        }
        tls.store = Arc::new(CertificateStore::new(certificates));
        tls
    }

    /// What is right, and not what it should be.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Keeps a warning.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// The certificates that are used, by their files or by how they were made, and when they expire.
    pub(super) fn expiries(&self) -> BTreeMap<String, SystemTime> {
        let files = self.files.iter().filter_map(|((chain, _), certificate)| {
            Some((chain.display().to_string(), certificate.as_ref()?.not_after()))
        });
        let made = self.source.self_signed.all();
        let made = made.iter().map(|certificate| (certificate.source().to_owned(), certificate.not_after()));
        files.chain(made).collect()
    }

    /// Every fault that was found, here and elsewhere, in the order of the file.
    pub(super) fn into_faults(mut self, others: Vec<Fault>) -> Option<Faults> {
        self.faults.extend(others);
        Faults::new(self.faults, self.omitted)
    }

    /// How a route terminates TLS; `None` if it does not, or if there is a fault in how.
    ///
    /// Routes with the same settings share one policy: a hundred thousand routes have a handful of them.
    pub(super) fn server(&mut self, route: &config::Route) -> Option<Arc<ServerPolicy>> {
        let server = match &route.tls {
            TlsConfig::Plain | TlsConfig::Passthrough => return None,
            TlsConfig::Terminate(server) | TlsConfig::TerminateAndReencrypt(server, _) => server,
        };
        self.check_names(server, route);
        let key = ServerKey::new(server, route);
        if let Some(known) = self.servers.get(&key) {
            return known.clone();
        }
        let parameters = self.server_parameters(server, route, key.alpn.clone());
        let policy = match parameters.map(|parameters| ServerPolicy::new(parameters, &self.source.tickets)) {
            None => None,
            Some(Ok(policy)) => Some(Arc::new(policy)),
            Some(Err(error)) => self.fault(route.place, &error),
        };
        self.servers.insert(key, policy.clone());
        policy
    }

    fn server_parameters(
        &mut self,
        server: &TlsServer,
        route: &config::Route,
        alpn: Vec<Vec<u8>>,
    ) -> Option<ServerParameters> {
        let certificates = match &server.certificate {
            // A certificate that could not be had is a fault at its own place, and enough.
            config::Certificate::FromCertificates if self.covered.is_none() => return None,
            config::Certificate::FromCertificates => CertificateSource::Store(Arc::clone(&self.store)),
            config::Certificate::Files(files) => CertificateSource::Fixed(self.certificate(files)?),
            config::Certificate::SelfSigned => match self.self_signed(&route.rule.domains) {
                Ok(certificate) => CertificateSource::Fixed(certificate),
                Err(error) => return self.fault(route.place, &error),
            },
        };
        let client_auth = match &server.client_auth {
            config::ClientAuth::None => ClientAuth::None,
            config::ClientAuth::Optional(file) => ClientAuth::Optional(self.authorities(file)?),
            config::ClientAuth::Required(file) => ClientAuth::Required(self.authorities(file)?),
        };
        Some(ServerParameters { certificates, min_version: server.min_version, client_auth, alpn })
    }

    /// How a route speaks TLS to its targets; `None` if it does not, or if there is a fault in how.
    pub(super) fn client(&mut self, route: &config::Route) -> Option<(Arc<ClientPolicy>, PoolClass)> {
        let upstream = match &route.tls {
            TlsConfig::Plain | TlsConfig::Passthrough | TlsConfig::Terminate(_) => return None,
            TlsConfig::TerminateAndReencrypt(_, upstream) => upstream,
        };
        self.client_policy(upstream, offered(route), route.place)
    }

    /// How a route speaks TLS to the server that it asks first; `None` if it does not, or if there is a fault in how.
    pub(super) fn asked(&mut self, route: &config::Route) -> Option<(Arc<ClientPolicy>, PoolClass)> {
        let upstream = route.security.forward_auth.as_ref()?.tls.as_ref()?;
        self.client_policy(upstream, vec![b"http/1.1".to_vec()], route.place)
    }

    fn client_policy(
        &mut self,
        upstream: &TlsUpstream,
        alpn: Vec<Vec<u8>>,
        place: Place,
    ) -> Option<(Arc<ClientPolicy>, PoolClass)> {
        let parameters = self.client_parameters(upstream, alpn)?;
        match self.source.client_policies.find_or_make(parameters, &self.system) {
            Ok(policy) => Some(policy),
            Err(error) => self.fault(place, &error),
        }
    }

    fn client_parameters(&mut self, upstream: &TlsUpstream, alpn: Vec<Vec<u8>>) -> Option<ClientParameters> {
        let verification = match (&upstream.verify, &upstream.ca) {
            (false, _) => Verification::Off,
            (true, None) => Verification::System,
            (true, Some(file)) => Verification::Authorities(self.authorities(file)?),
        };
        let client_certificate = match &upstream.client_certificate {
            None => None,
            Some(files) => Some(self.certificate(files)?),
        };
        let server_name = upstream.server_name.as_ref().map(|host| match host {
            config::Host::Name(name) => TargetName::Host(name.clone()),
            config::Host::Address(address) => TargetName::Address(*address),
        });
        Some(ClientParameters { verification, server_name, client_certificate, alpn })
    }

    pub(super) fn certificate(&mut self, files: &CertificateFiles) -> Option<Arc<Certificate>> {
        let key = (files.certificate.value.clone(), files.key.value.clone());
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        let certificate = match Certificate::load(&key.0, &key.1) {
            Ok(certificate) => {
                for warning in certificate.warnings(SystemTime::now()) {
                    self.warnings.push(format!("{}: {warning}", certificate.source()));
                }
                Some(Arc::new(certificate))
            }
            Err(error) => self.fault_of_pair(files, &error),
        };
        self.files.insert(key, certificate.clone());
        certificate
    }

    /// Reports what is wrong with a certificate, with its key, or with each of them, where the file names it.
    fn fault_of_pair<T>(&mut self, files: &CertificateFiles, error: &CertificateError) -> Option<T> {
        let error = with_causes(error);
        let of_key = Certificate::check_key(&files.key.value).err().map(|error| with_causes(&error));
        if of_key.as_ref() != Some(&error) {
            self.report(self.config.fault(&files.certificate.place, error));
        }
        if let Some(of_key) = of_key {
            self.report(self.config.fault(&files.key.place, of_key));
        }
        None
    }

    /// One that is kept across reloads, so that a browser's exception for it stays good.
    fn self_signed(&self, names: &[HostPattern]) -> Result<Arc<Certificate>, CertificateError> {
        self.source.self_signed.find_or_try(names, Certificate::self_signed)
    }

    /// Reports each domain of a route that none of its certificates covers: no client would ever get through.
    fn check_names(&mut self, server: &TlsServer, route: &config::Route) {
        let own = match &server.certificate {
            config::Certificate::Files(files) => match self.certificate(files) {
                Some(certificate) => Some(certificate),
                None => return,
            },
            config::Certificate::FromCertificates => None,
            config::Certificate::SelfSigned => return,
        };
        for (domain, place) in route.rule.domains.iter().zip(&route.domains) {
            let fault = match (&own, &self.covered) {
                (Some(own), _) if coverage::overlap(own.names(), domain) => continue,
                (Some(own), _) => {
                    let message = format!("the route's certificate does not cover `{domain}`");
                    self.config.fault_with_help(place, message, format!("it is for {}", coverage::listed(own.names())))
                }
                (None, Some(covered)) if covered.overlaps(domain) => continue,
                (None, Some(_)) => {
                    let help = "add one that does to [[certificates]], or give the route a `tls.certificate`";
                    self.config.fault_with_help(place, format!("no certificate covers `{domain}`"), help)
                }
                (None, None) => return,
            };
            self.report(fault);
        }
    }

    pub(super) fn authorities(&mut self, file: &Located<PathBuf>) -> Option<Authorities> {
        if let Some(known) = self.authorities.get(&file.value) {
            return known.clone();
        }
        let authorities = match Authorities::load(&file.value) {
            Ok(authorities) => Some(authorities),
            Err(error) => self.fault(file.place, &error),
        };
        self.authorities.insert(file.value.clone(), authorities.clone());
        authorities
    }

    pub(super) fn fault<T>(&mut self, place: Place, error: &dyn Error) -> Option<T> {
        self.report(self.config.fault(&place, with_causes(error)));
        None
    }

    fn report(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }
}

/// What a route offers its targets by ALPN.
fn offered(route: &config::Route) -> Vec<Vec<u8>> {
    let forward = match &route.action {
        config::Action::Forward(forward) if route.rule.protocol == Protocol::Http => forward,
        // Decrypted bytes are relayed as they are, and what they are is not known.
        config::Action::Forward(_) | config::Action::Redirect(_) | config::Action::Respond(_) => return Vec::new(),
    };
    match forward.upstream_protocol {
        config::UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
        config::UpstreamProtocol::Http2 => vec![b"h2".to_vec()],
        config::UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        config::UpstreamProtocol::H2c => Vec::new(),
    }
}
