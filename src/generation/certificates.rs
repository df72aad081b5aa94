use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use super::Source;
use crate::config::{self, CertificateFiles, Config, Fault, Located, Place, Tls as TlsConfig, TlsServer, TlsUpstream};
use crate::handler::PoolClass;
use crate::name::HostPattern;
use crate::outcome::with_causes;
use crate::route::{Protocol, TlsVersion};
use crate::tls::{
    Authorities, Certificate, CertificateError, CertificateSource, CertificateStore, ClientAuth, ClientParameters,
    ClientPolicy, PolicyError, ServerParameters, ServerPolicy, SystemAuthorities, TargetName, Verification,
};

/// Certificates that were made for development, kept across reloads so that a browser's exception for one stays good.
#[derive(Debug, Default)]
pub(super) struct SelfSigned(Mutex<HashMap<Vec<HostPattern>, Arc<Certificate>>>);

impl SelfSigned {
    fn for_names(&self, names: &[HostPattern]) -> Result<Arc<Certificate>, CertificateError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = made.get(names) {
            return Ok(Arc::clone(certificate));
        }
        let certificate = Arc::new(Certificate::self_signed(names)?);
        made.insert(names.to_vec(), Arc::clone(&certificate));
        Ok(certificate)
    }
}

/// What policies towards targets were made, so that a reload finds those that have not changed, and with them the pooled
/// connections and the remembered sessions.
#[derive(Debug, Default)]
pub(super) struct ClientPolicies(Mutex<MadePolicies>);

#[derive(Debug, Default)]
struct MadePolicies {
    made: Vec<(ClientKey, Weak<ClientPolicy>, PoolClass)>,
    classes: u64,
}

/// What makes two policies towards targets the same.
#[derive(Debug, PartialEq, Eq)]
struct ClientKey {
    verification: Verification,
    server_name: Option<TargetName>,
    /// The DER of each certificate of the chain that is shown.
    shown: Vec<Vec<u8>>,
    alpn: Vec<Vec<u8>>,
}

impl ClientPolicies {
    fn find_or_make(
        &self,
        parameters: ClientParameters,
        system: &SystemAuthorities,
    ) -> Result<(Arc<ClientPolicy>, PoolClass), PolicyError> {
        let shown = parameters.client_certificate.iter().flat_map(|shown| shown.chain()).map(<[u8]>::to_vec).collect();
        let key = ClientKey {
            verification: parameters.verification.clone(),
            server_name: parameters.server_name.clone(),
            shown,
            alpn: parameters.alpn.clone(),
        };
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        policies.made.retain(|(_, policy, _)| policy.strong_count() > 0);
        let known = policies.made.iter().find(|(known, ..)| *known == key);
        if let Some(known) = known.and_then(|(_, policy, class)| Some((policy.upgrade()?, *class))) {
            return Ok(known);
        }
        let policy = Arc::new(ClientPolicy::new(parameters, system)?);
        policies.classes += 1;
        let class = PoolClass(policies.classes);
        policies.made.push((key, Arc::downgrade(&policy), class));
        Ok((policy, class))
    }
}

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
    config: &'a Config,
    source: &'a Source,
    system: SystemAuthorities,
    store: Arc<CertificateStore>,
    files: HashMap<(PathBuf, PathBuf), Option<Arc<Certificate>>>,
    authorities: HashMap<PathBuf, Option<Authorities>>,
    servers: HashMap<ServerKey, Option<Arc<ServerPolicy>>>,
    pub(super) faults: Vec<Fault>,
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
            faults: Vec::new(),
        };
        let certificates = config.certificates.iter().filter_map(|files| tls.certificate(files)).collect();
        tls.store = Arc::new(CertificateStore::new(certificates));
        tls
    }

    /// How a route terminates TLS; `None` if it does not, or if there is a fault in how.
    ///
    /// Routes with the same settings share one policy: a hundred thousand routes have a handful of them.
    pub(super) fn server(&mut self, route: &config::Route) -> Option<Arc<ServerPolicy>> {
        let server = match &route.tls {
            TlsConfig::Plain | TlsConfig::Passthrough => return None,
            TlsConfig::Terminate(server) | TlsConfig::TerminateAndReencrypt(server, _) => server,
        };
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
            config::Certificate::FromCertificates => CertificateSource::Store(Arc::clone(&self.store)),
            config::Certificate::Files(files) => CertificateSource::Fixed(self.certificate(files)?),
            config::Certificate::SelfSigned => match self.source.self_signed.for_names(&route.rule.domains) {
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
        let parameters = self.client_parameters(upstream, route.rule.protocol)?;
        match self.source.client_policies.find_or_make(parameters, &self.system) {
            Ok(policy) => Some(policy),
            Err(error) => self.fault(route.place, &error),
        }
    }

    fn client_parameters(&mut self, upstream: &TlsUpstream, protocol: Protocol) -> Option<ClientParameters> {
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
        let alpn = match protocol {
            Protocol::Http => vec![b"http/1.1".to_vec()],
            Protocol::Tcp => Vec::new(),
        };
        Some(ClientParameters { verification, server_name, client_certificate, alpn })
    }

    fn certificate(&mut self, files: &CertificateFiles) -> Option<Arc<Certificate>> {
        let key = (files.certificate.value.clone(), files.key.value.clone());
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        let certificate = match Certificate::load(&key.0, &key.1) {
            Ok(certificate) => {
                for warning in certificate.warnings(SystemTime::now()) {
                    tracing::warn!(certificate = certificate.source(), "{warning}");
                }
                Some(Arc::new(certificate))
            }
            Err(error) => self.fault(files.certificate.place, &error),
        };
        self.files.insert(key, certificate.clone());
        certificate
    }

    fn authorities(&mut self, file: &Located<PathBuf>) -> Option<Authorities> {
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

    fn fault<T>(&mut self, place: Place, error: &dyn Error) -> Option<T> {
        self.faults.push(self.config.fault(&place, with_causes(error)));
        None
    }
}
