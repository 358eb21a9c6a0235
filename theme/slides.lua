-- A slide's heading out of the box in which Quarto puts what a cell with tags shows: the slide would end with that.

function Div(div)
  local first = div.content[1]
  if div.classes:includes("cell") and first and first.t == "Header" then
    return div.content
  end
end
