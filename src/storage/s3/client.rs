//! The SDK's client for one bucket, and what all requests share.

use std::net::IpAddr;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{ClientRateLimiter, RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::{TimeoutConfig, TimeoutConfigBuilder};
use aws_sdk_s3::config::{
    Builder, Config, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_types::service_config::ServiceConfigKey;
use jiff::Timestamp;

use crate::config::S3Config;

/// Tries of one request, the first included.
const TRIES: u32 = 4;
/// Longest pause between them.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// For one try of a request that carries next to nothing, until its answer begins. Four, with the SDK's pauses of
/// up to 7 seconds between them, are over in half a minute.
const ANSWER_LIMIT: Duration = Duration::from_millis(5500);
/// Bytes a second that one of several uploads side by side gets at least.
const SLOWEST: usize = 32 << 10;
/// A body that brings no byte for so long is given up.
const STALL_LIMIT: Duration = Duration::from_secs(8);
/// Where a bucket is when nobody says: most providers other than AWS do not care.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket, and how to reach it.
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) region: String,
    /// Scheme, host and port where an endpoint is configured; the rest of a URL may hold secrets.
    pub(super) endpoint: Option<String>,
    /// All of the endpoint's URL, which the SDK's errors may quote.
    url: Option<String>,
    pub(super) credentials: Option<SharedCredentialsProvider>,
}

impl Bucket {
    /// Reads the SDK's configuration. Only for a bucket of AWS whose region nobody configured, the machine's own
    /// metadata service is asked.
    pub(super) async fn connect(config: &S3Config, sources: ConfigLoader) -> Self {
        let configured = RegionProviderChain::first_try(config.region.clone().map(Region::new))
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new());
        let shared = sources.region(configured).load().await;
        let endpoint = config.endpoint.clone().or_else(|| configured_endpoint(&shared));
        let region = match shared.region().cloned() {
            None if endpoint.is_none() => ImdsRegionProvider::builder().build().region().await,
            region => region,
        };
        let region = region.unwrap_or_else(|| Region::new(DEFAULT_REGION));

        let mut builder = Builder::from(&shared)
            .region(region.clone())
            .force_path_style(config.force_path_style.unwrap_or_else(|| {
                let host = endpoint.as_deref().and_then(host);
                host.is_some_and(needs_path_style)
            }))
            // Other providers refuse the checksums that the SDK sends unasked.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(
                RetryConfig::adaptive()
                    .with_max_attempts(TRIES)
                    .with_max_backoff(LONGEST_PAUSE),
            )
            .retry_partition(own_pace())
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .grace_period(STALL_LIMIT)
                    .build(),
            )
            .timeout_config(limits().operation_attempt_timeout(ANSWER_LIMIT).build());
        if let Some(endpoint) = &endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(builder.build()),
            name: config.bucket.clone(),
            prefix: config.prefix.clone(),
            region: region.to_string(),
            endpoint: endpoint.as_deref().map(place),
            url: endpoint,
            credentials: shared.credentials_provider(),
        }
    }

    /// The name of an object in the bucket.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// A text of the SDK without what may be secret.
    pub(super) fn clean(&self, text: String) -> String {
        match (&self.url, &self.endpoint) {
            (Some(url), Some(place)) => text.replace(url, place),
            _ => text,
        }
    }

    /// Who was to answer, for messages.
    pub(super) fn place(&self) -> String {
        let aws = || format!("S3 in region {}", self.region);
        self.endpoint.clone().unwrap_or_else(aws)
    }
}

/// Where the SDK looks for what is not configured here: its variables, profiles, roles.
pub(super) fn sources() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
}

/// Else every client of the process would share what one of them learned about one server.
fn own_pace() -> RetryPartition {
    let now = Timestamp::now().as_duration().as_secs_f64();
    RetryPartition::custom("snapshot-writer")
        .client_rate_limiter(ClientRateLimiter::new(now))
        .build()
}

fn limits() -> TimeoutConfigBuilder {
    TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT)
}

/// Time limits of a request that carries so many bytes. A line that takes them, but no answer, is given up
/// after half as long again, not after four times as long.
pub(super) fn time_for(bytes: usize) -> Builder {
    let carrying = Duration::from_secs((bytes / SLOWEST) as u64);
    let mut limits = limits().operation_attempt_timeout(ANSWER_LIMIT + carrying);
    if carrying > ANSWER_LIMIT * TRIES {
        limits = limits.operation_timeout(carrying + carrying / 2);
    }
    Config::builder().timeout_config(limits.build())
}

/// The endpoint of the SDK's variables and profiles, found as the SDK's own client would.
fn configured_endpoint(shared: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_s3 = shared.service_config().and_then(|config| config.load_config(key));
    of_s3.or_else(|| shared.endpoint_url().map(str::to_owned))
}

/// Scheme, host and port of a URL, without user, password, path or query.
fn place(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = authority(rest);
    if scheme.is_empty() {
        authority.to_owned()
    } else {
        format!("{scheme}://{authority}")
    }
}

fn authority(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

fn host(url: &str) -> Option<&str> {
    let authority = authority(url.split_once("://")?.1);
    match authority.strip_prefix('[') {
        Some(six) => six.split(']').next(),
        None => authority.split(':').next(),
    }
}

/// `bucket.127.0.0.1` is no name, and `bucket.localhost` seldom resolves.
fn needs_path_style(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_without_what_may_be_secret() {
        for (url, named) in [
            (
                "http://user:secret@127.0.0.1:9000/path?token=secret",
                "http://127.0.0.1:9000",
            ),
            ("https://s3.example.com", "https://s3.example.com"),
            ("https://[::1]:9000#secret", "https://[::1]:9000"),
            ("user:secret@host:9000/secret", "host:9000"),
        ] {
            assert_eq!(place(url), named);
        }
    }

    #[test]
    fn addresses_and_localhost_need_path_style() {
        for (url, path_style) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000/", true),
            ("http://user@[::1]:9000", true),
            ("https://10.0.0.7", true),
            ("https://s3.example.com", false),
            ("https://localhost.example.com:9000", false),
        ] {
            assert_eq!(host(url).is_some_and(needs_path_style), path_style, "{url}");
        }
    }
}
