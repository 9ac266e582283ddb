// Reading the data blocks of the page: JSON as it is, or gzipped in base64.

function readJson(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}
