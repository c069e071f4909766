//! The simulator on a port: WorkflowService, what is known of OperatorService, and the health check, over
//! TCP with gzip. A method that is not served is refused by its name. Knows nothing of the state.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Status as Reply};
use tonic_prost::ProstCodec;
use tower::Service;
use tower::layer::layer_fn;

use super::Simulator;
use super::operator_service::operator_service_server::OperatorServiceServer;
use super::service::workflow_service_server::WorkflowServiceServer;

/// The largest message that is taken; the real service takes 128 MiB.
const LARGEST: usize = 64 << 20;

impl Simulator {
    /// Serves over TCP until the process ends.
    ///
    /// # Errors
    /// What the transport says.
    pub async fn serve(&self, listener: TcpListener) -> Result<(), tonic::transport::Error> {
        let service = WorkflowServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(LARGEST);
        let operator = OperatorServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        tonic::transport::Server::builder()
            .layer(layer_fn(Named))
            .add_service(service)
            .add_service(operator)
            .add_service(Health)
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener))
            .await
    }
}

/// Says which method it is that is not served.
#[derive(Clone)]
struct Named<S>(S);

impl<S, B> Service<Request<B>> for Named<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let reply = self.0.call(request);
        Box::pin(async move {
            let reply = reply.await?;
            let code = Reply::from_header_map(reply.headers()).map(|status| status.code());
            if code != Some(Code::Unimplemented) {
                return Ok(reply);
            }
            let refused = Reply::unimplemented(format!("the simulator does not serve {method}"));
            Ok(refused.into_http())
        })
    }
}

/// `grpc.health.v1.Health`, of which clients call `Check`: whoever can ask is served.
#[derive(Clone)]
struct Health;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    /// 1 is SERVING.
    #[prost(int32, tag = "1")]
    status: i32,
}

impl NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl UnaryService<HealthCheckRequest> for Health {
    type Response = HealthCheckResponse;
    type Future = Ready<Result<tonic::Response<HealthCheckResponse>, Reply>>;

    fn call(&mut self, _: tonic::Request<HealthCheckRequest>) -> Self::Future {
        ready(Ok(tonic::Response::new(HealthCheckResponse { status: 1 })))
    }
}

impl Service<Request<Body>> for Health {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            if !request.uri().path().ends_with("/Check") {
                return Ok(Reply::unimplemented("").into_http());
            }
            let codec = ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default();
            Ok(Grpc::new(codec).unary(Health, request).await)
        })
    }
}
