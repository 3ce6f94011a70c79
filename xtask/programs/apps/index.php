<?php
// /ms/N answers after N ms, /stream/N sends N parts, one each half second.
if (file_exists(getenv("STAGE") . "/broken")) { http_response_code(500); exit("this code is broken"); }
$words = array_values(array_filter(explode("/", parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH))));
if (($words[0] ?? "") === "stream") {
    for ($left = (int) $words[1]; $left > 0; $left--) { echo "part\n"; @ob_flush(); flush(); usleep(500000); }
    exit("end\n");
}
usleep(1000 * (int) ($words[1] ?? 0));
echo getenv("WORKER_ID");
