import { mount } from "svelte";
import "./styles/app.css";
import App from "./App.svelte";
import { app } from "./bindings/app.svelte";
import { registerWorker } from "./bindings/push";

const target = document.getElementById("app");
if (target) mount(App, { target });
void app.begin();
void registerWorker();
