// A workbook in the portal: what rollouts said, what failed, and how hard the app works.

param location string

param tags object

param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(resourceGroup().id, 'goldroll')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Goldroll'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: loadTextContent('../workbook.json')
  }
}
