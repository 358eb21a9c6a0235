try { document.documentElement.style.colorScheme = localStorage.getItem("theme") || ""; } catch { /* private */ }
