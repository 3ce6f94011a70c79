"use strict";
const express = require("express");
const { answer, SLOT } = require("./answer.js");

if (require("node:fs").existsSync(process.env.STAGE + "/broken")) throw new Error("this code is broken");

const app = express();
app.use(express.json());
app.use((request, response) => answer(request.url, response, () => response.send(SLOT)));
app.listen(Number(process.env.PORT), "127.0.0.1");
