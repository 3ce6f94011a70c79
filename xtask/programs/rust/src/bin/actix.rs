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

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    check();
    HttpServer::new(|| App::new().default_service(web::to(serve))).workers(1).bind(address())?.run().await
}
