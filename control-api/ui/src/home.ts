/** The page at `/`: goes to the user's start page, or to the sign-in page. */
import * as api from "./api.js";
import { home } from "./session.js";
import { start } from "./start.js";

async function homePage(): Promise<void> {
  try {
    location.replace(home(await api.session()));
  } catch (error) {
    if (!(error instanceof api.ApiError) || error.status !== 401) throw error;
    location.replace("/login");
  }
}

start(homePage);
