//! Actix with one worker thread.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use servers::{Asked, address, answer, asked, check, parts};

async fn serve(request: HttpRequest, _body: web::Bytes) -> HttpResponse {
    match asked(request.path()) {
        Asked::Stream(number) => HttpResponse::Ok().streaming(parts::<web::Bytes>(number)),
        Asked::Wait(time) => {
            actix_web::rt::time::sleep(time).await;
            HttpResponse::Ok().body(answer())
        }
    }
}

fn main() -> std::io::Result<()> {
    check();
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(|| App::new().default_service(web::to(serve))).workers(1);
        server.bind(address())?.run().await
    })
}
